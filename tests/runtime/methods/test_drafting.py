"""Another loaded model that guesses: it changes no answer, and may leave at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.engine.engine import Engine
from halfbyte.errors import EngineError, RequestError
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.speculation.draft_model import DraftModel

ASKED = {"prompt": "def gcd(a, b):\n    ", "max_tokens": 30}


def test_a_loaded_model_guesses_and_may_be_closed(infill_model: halfbyte.Model) -> None:
    expected = infill_model.complete(**ASKED, speculate=False).tokens
    with halfbyte.load("infill-10m", threads=2) as model:
        assert model.draft is None
        with halfbyte.load("infill-10m", threads=1) as other:
            model.use_draft(other)
            first = model.draft
            model.use_draft(other)
            assert first is not None and model.draft is first
            assert model.complete(**ASKED).tokens == expected
            assert other.complete(**ASKED).tokens == model.complete(**ASKED).tokens
        assert model.complete(**ASKED).tokens == expected  # its weights are shared
        model.use_draft(infill_model)
        assert model.draft is not first
        assert model.complete(**ASKED).tokens == expected
        with pytest.raises(EngineError, match="closed"):
            model.use_draft(other)
    assert infill_model.complete(**ASKED, speculate=False).tokens == expected


def test_another_vocabulary_is_refused(infill_model: halfbyte.Model, tiny_gguf: Path) -> None:
    with (
        halfbyte.load(tiny_gguf, threads=1) as other,
        pytest.raises(RequestError, match="same vocabulary"),
    ):
        infill_model.use_draft(other)
    assert infill_model.draft is None


@pytest.mark.parametrize("fails", ["of", "use_draft"])
def test_one_that_cannot_guess_leaves_all_as_it_was(
    fails: str, infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Engine] = []
    usual = DraftModel.of

    def no_memory(*_: object) -> None:
        raise EngineError("memory is short")

    def of(guest: Engine, *others: Any) -> DraftModel:
        made.append(guest)
        if fails == "of":
            no_memory()
        return usual(guest, *others)

    with halfbyte.load("infill-10m", threads=1) as model:
        expected = model.complete(**ASKED).tokens
        model.use_draft(model)
        before = model.draft
        with monkeypatch.context() as patched:
            patched.setattr(DraftModel, "of", of)
            if fails == "use_draft":
                patched.setattr(Scheduler, "use_draft", no_memory)
            with pytest.raises(EngineError, match="memory is short"):
                model.use_draft(infill_model)
        with pytest.raises(EngineError, match="closed"):
            made[0].check_open()
        assert before is not None and model.draft is before
        assert model.complete(**ASKED).tokens == expected
