"""Work on a stack that is deep enough is done as the caller would have done it."""

from __future__ import annotations

import sys
import threading

import pytest

import halfbyte
from halfbyte.cache_scope import current_scope, scoped
from halfbyte.constraints import deep_stack
from halfbyte.constraints.deep_stack import on_deep_stack
from halfbyte.errors import EngineError

N = 3000
N_REFERENCES = 1200
CHAINS = (
    "start: r0\n" + "\n".join(f"r{i}: r{i + 1}" for i in range(N)) + f'\nr{N}: "a"',
    "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(N)) + f'\nr{N} ::= "a"',
)


@pytest.mark.parametrize("source", CHAINS, ids=["lark", "gbnf"])
def test_long_chains_of_rules_are_followed(infill_model: halfbyte.Model, source: str) -> None:
    assert infill_model.complete("x = ", grammar=source).text == "a"


def test_long_chains_of_references_are_followed(infill_model: halfbyte.Model) -> None:
    parts: dict[str, object] = {
        f"a{i}": {
            "type": "object", "properties": {"a": {"$ref": f"#/$defs/a{i + 1}"}}, "required": ["a"],
        }
        for i in range(N_REFERENCES)
    }  # fmt: skip
    schema = {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{N_REFERENCES}": {"type": "integer"}}}
    done = infill_model.complete("x = ", json_schema=schema, max_tokens=4)
    assert done.text.startswith('{"a":{') and done.is_complete is False


def test_it_is_done_in_the_callers_context_and_others_have_their_usual_stack() -> None:
    before = threading.stack_size()
    with scoped("mine"):
        assert on_deep_stack(current_scope) == "mine"
    assert threading.stack_size() == before


def test_errors_reach_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        on_deep_stack(lambda: 1 // 0)
    with pytest.raises(SystemExit):  # no Exception
        on_deep_stack(sys.exit)


def test_without_a_thread_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = threading.stack_size()
    monkeypatch.setattr(deep_stack.threading.Thread, "start", start)
    with pytest.raises(EngineError, match="gives no thread to compile a grammar"):
        on_deep_stack(current_scope)
    assert threading.stack_size() == before
