"""The command line itself: help, names that are near, errors for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.mark.parametrize("argv", [[], ["help"], ["-h"], ["--help"]])
def test_help(run: Any, argv: list[str]) -> None:
    outcome = run(*argv)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: halfbyte ") and "continue a text" in outcome.out


def test_help_of_a_command(run: Any) -> None:
    outcome = run("help", "infill")
    assert outcome.code == 0 and outcome.out == run("infill", "--help").out
    assert run("-V").out == run("--version").out != ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["complet"], "halfbyte: error: no command complet; did you mean complete"),
        (["help", "benhc"], "halfbyte: error: no command benhc; did you mean bench?"),
        (["--verison"], "halfbyte: error: no option --verison; did you mean --version?"),
        (
            ["complete", "x", "--max-tok", "4"],
            "halfbyte complete: error: no option --max-tok; ",
        ),
        (["complete", "x", "--tmep=1"], "complete: error: no option --tmep; did you mean --temp"),
        (["complete", "def", "f"], "complete: error: too many arguments: f; put a text with "),
        (["complete", "a", "-p", "b"], "complete: error: the text is given twice"),
        (["complete"], "complete: error: no TEXT is given"),
        (["complete", "x", "--kv-type", "f8"], "complete: error: argument --kv-type: invalid"),
        (["inspect"], "inspect: error: no MODEL is given"),
        (["inspect", "a", "-m", "b"], "inspect: error: two models: a and -m b"),
        (["infill", "--file", "f", "--at", "3"], "expected LINE:COL, both from 1, such as 12:5, g"),
        (["complete", "x", "--\x1b]0;a\x07"], r"complete: error: no option --\x1b]0;a\x07"),
    ],
)
def test_errors_say_what_was_meant(run: Any, model: Any, argv: list[str], said: str) -> None:
    outcome = run(*argv)
    assert (outcome.code, outcome.out, model.load_args) == (2, "", {})
    assert said in outcome.err and outcome.err.startswith("usage: halfbyte")
    assert outcome.err.count("usage:") == 1


def test_errors_are_json_where_that_is_asked(run: Any, model: Any, no_model: None) -> None:
    outcome = run("complete", "x", "-m", "nope", "--json")
    assert outcome.code == 1 and outcome.err.startswith("error: model: ")
    assert json.loads(outcome.out) == {"error": {
        "type": "RequestError", "message": "model: expected a name, got nope",
        "param": "model", "expected": "a name", "got": "nope",
    }}  # fmt: skip
    outcome = run("complete", "x", "--temp", "-1", "--json")
    assert outcome.code == 2 and outcome.err.startswith("usage: ")
    error = json.loads(outcome.out)["error"]
    assert error["type"] == "UsageError" and error["message"].startswith("argument --temp: ")
    # A text that spells the option does not ask for it.
    assert run("complete", "x", "-m", "nope", "--", "--json").out == ""
