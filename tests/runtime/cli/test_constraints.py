"""What an answer has to be, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SCHEMA = '{"type": "integer"}'


@pytest.mark.parametrize("command", ["complete", "infill", "chat"])
def test_what_is_asked_arrives(run: Any, model: Any, command: str, tmp_path: Path) -> None:
    schema, grammar = tmp_path / "s.json", tmp_path / "g.lark"
    schema.write_text(SCHEMA, "utf-8")
    grammar.write_text('start: "é"\n', "utf-8")
    text = "x<FILL_ME>" if command == "infill" else "x"
    for given, expected in (
        (["--json-schema", str(schema)], {"json_schema": SCHEMA}),
        (["--json-schema", str(schema), "--json-whitespace"],
         {"json_schema": SCHEMA, "json_whitespace": True}),
        (["--regex", "a+"], {"regex": "a+"}),
        (["--grammar", str(grammar)], {"grammar": 'start: "é"\n'}),
        (["--choices", "yes", "--choices", "no"], {"choices": ["yes", "no"]}),
        ([], {}),
    ):  # fmt: skip
        assert run(command, "-p", text, *given).code == 0
        model.params.pop("min_confidence", None)
        assert {k: v for k, v in model.params.items() if k in (*expected, "regex")} == expected


def test_an_answer_that_was_cut_says_so(run: Any, model: Any) -> None:
    outcome = run("complete", "-p", "x", "--regex", "a+", "--json")
    assert json.loads(outcome.out)["is_complete"] is False
    assert "| not all that was asked for | cut at the length that -n sets" in outcome.err
    model.finish_reason = "stop"
    outcome = run("complete", "-p", "x", "--regex", "a+", "--json")
    assert json.loads(outcome.out)["is_complete"] is True and "not all" not in outcome.err
    assert "is_complete" not in json.loads(run("complete", "-p", "x", "--json").out)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--regex", "a", "--choices", "b"], "argument --choices: not allowed with argument --reg"),
        (["--json-whitespace"], "argument --json-whitespace: expected a --json-schema beside it"),
        (["--json-schema", "{bad}"], "argument --json-schema: expected a keyword of JSON Schema"),
        (["--json-schema", "none.json"], "none.json: No such file"),
        (["--choices", ""], "argument --choices: expected a list of texts that are not empty"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    run: Any, model: Any, given: list[str], text: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"typo": 1}', "utf-8")
    outcome = run("complete", "-p", "x", *(str(bad) if g == "{bad}" else g for g in given))
    assert outcome.code != 0 and text in outcome.err and not model.load_args
