"""A sample of the hostile templates: each is an error of halfbyte's or a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutants import templates


def test_a_sample_neither_hangs_nor_breaks() -> None:
    real = templates.read_real([])
    sources = [templates.make(seed, real) for seed in range(40)]
    outcomes = list(templates.run(sources, work=300_000))  # a tenth of the usual budget
    assert [outcome.source for outcome in outcomes] == sources
    assert not [outcome for outcome in outcomes if outcome.is_failure]
    assert {"text", "TemplateError"} <= {outcome.kind for outcome in outcomes}
    assert sum("bounded amount of work" in outcome.detail for outcome in outcomes) >= 5


def test_the_watch_sees_what_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs, one that dies, and one that answers."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys, time\nprint('ready', flush=True)\nfor line in sys.stdin:\n"
        "    word = json.loads(line)\n    if word == 'hang':\n        time.sleep(60)\n"
        "    if word == 'die':\n        sys.exit()\n"
        "    print(json.dumps({'kind': word, 'seconds': 0}), flush=True)\n"
    )
    monkeypatch.setattr(templates, "WORKER", worker)
    monkeypatch.setattr(templates, "PATIENCE", 0.5)
    words = ["hang", "text", "die", "foreign", "memory"]
    outcomes = list(templates.run(words))
    assert [o.kind for o in outcomes] == ["hang", "text", "crash", "foreign", "memory"]
    assert [o.is_failure for o in outcomes] == [True, False, True, True, True]
    assert json.dumps(outcomes[1].source) == '"text"'
