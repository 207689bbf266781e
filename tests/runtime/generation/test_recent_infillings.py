"""Typing along with an infilling gives its rest, and computes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import halfbyte
from halfbyte.generation.completion import Infilling, Stats
from halfbyte.generation.recent_infillings import MOST, RecentInfillings

PREFIX, SUFFIX = "def add(a, b):\n    ", "\n\nprint(add(1, 2))\n"
HOW: dict[str, Any] = {"max_tokens": 8}


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load("infill-10m", threads=1) as model:
        yield model


@pytest.fixture(autouse=True)
def nothing_recent(model: halfbyte.Model) -> None:
    model._planner._recent = RecentInfillings(model.tokenizer)


@pytest.fixture
def steps(model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many spans each step had."""
    seen: list[int] = []
    forward = model.engine.forward

    def counted(spans: Any, abort: Any = None) -> Any:
        seen.append(len(spans))
        return forward(spans, abort)

    monkeypatch.setattr(model.engine, "forward", counted)
    return seen


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize("prefix", [PREFIX, PREFIX + "retu", "x"])
def test_the_rest_comes_without_a_step(
    model: halfbyte.Model, steps: list[int], prefix: str, order: str
) -> None:
    done = model.infill(prefix, SUFFIX, order=order, **HOW)
    assert steps and done.n_typed == 0 and done.text
    steps.clear()
    n_most = len(done.text) // 2 if done.finish_reason == "length" else len(done.text) - 1
    for n in range(1, n_most + 1):
        rest = model.infill(prefix + done.text[:n], SUFFIX, order=order, **HOW)
        assert (rest.text, rest.n_typed, rest.order) == (done.text[n:], n, done.order)
        assert rest.full_text == done.full_text and rest.finish_reason == done.finish_reason
        spelled = b"".join(map(model.tokenizer.token_bytes, rest.tokens))
        assert spelled.startswith((rest.healed + rest.text).encode())
        assert (rest.stats.n_reused, rest.stats.n_decode) == (rest.stats.n_prompt, 0)
        stream = model.stream_infill(prefix + done.text[:n], SUFFIX, order=order, **HOW)
        assert "".join(stream) == rest.text and stream.completion == rest
    assert not steps


def test_only_what_is_the_same_but_for_the_typed_text(
    model: halfbyte.Model, steps: list[int]
) -> None:
    done = model.infill(PREFIX, SUFFIX, **HOW)
    typed = PREFIX + done.text[:2]
    assert model.infill(typed, SUFFIX, **HOW).n_typed == 2
    wrong = "#" if done.text[0] != "#" else "$"
    files = halfbyte.Repository({"a.py": "x\n"})
    others: list[tuple[str, str, dict[str, Any]]] = [
        (typed, SUFFIX + "\n", HOW), (PREFIX + wrong, SUFFIX, HOW), ("x" + typed, SUFFIX, HOW),
        (typed[1:], SUFFIX, HOW), (PREFIX, SUFFIX, HOW), (PREFIX + done.text, SUFFIX, HOW),
        *((typed, SUFFIX, {**HOW, **more}) for more in (
            {"max_tokens": 7}, {"heal": False}, {"order": "spm"}, {"window": 64},
            {"stop": "q"}, {"repository": files}, {"single_line": True}, {"confidence": True},
            {"temperature": 1.0, "seed": 1}, {"reuse_answer": False}, {"repetition_penalty": 1.1},
        )),
    ]  # fmt: skip
    for prefix, suffix, how in others:
        steps.clear()
        assert model.infill(prefix, suffix, **how).n_typed == 0 and steps
    # One that was drawn, or is not to be used again, is not kept.
    for how in ({"temperature": 0.5, "seed": 1}, {"reuse_answer": False}):
        drawn = model.infill("y = ", "\n", **HOW, **how)
        assert drawn.text
        assert model.infill("y = " + drawn.text[:1], "\n", **HOW, **how).n_typed == 0


def test_the_order_may_have_changed_meanwhile(model: halfbyte.Model, steps: list[int]) -> None:
    """Where the cursor leaves a blank line, "auto" would take the other one."""
    done = model.infill(PREFIX, SUFFIX, **HOW)
    typed = PREFIX + "re"
    assert done.order == "psm" and done.text.startswith("re")
    anew = model.infill(typed, SUFFIX, **HOW, reuse_answer=False)
    assert anew.order == "spm"
    steps.clear()
    rest = model.infill(typed, SUFFIX, **HOW)
    assert (rest.text, rest.n_typed, rest.order) == (done.text[2:], 2, "psm") and not steps


def infilling(prefix: str, text: str, **more: Any) -> Infilling:
    facts: dict[str, Any] = {
        "tokens": [ord(char) for char in text], "finish_reason": "stop", "order": "psm",
        "stats": Stats(1, 1.0, 1, 1.0), **more,
    }  # fmt: skip
    return Infilling(prefix=prefix, text=text, suffix="", **facts)


class Characters:
    """Id i is the character chr(i)."""

    def token_bytes(self, token: int) -> bytes:
        return chr(token).encode()


def test_the_last_ones_are_kept_and_the_newest_is_taken() -> None:
    tokenizer: Any = Characters()
    recent = RecentInfillings(tokenizer)
    recent.remember("k", infilling("a", "bcd"))
    recent.remember("k", infilling("a", "bxy"))
    for reason in ("context", "timeout", "confidence"):
        recent.remember("k", infilling("a", "bzz", finish_reason=reason))
    found = recent.rest("k", "ab", 5)
    assert found is not None
    assert (found.text, found.n_typed, found.tokens, found.stats.n_reused) == (
        "xy", 1, [ord("x"), ord("y")], 5,
    )  # fmt: skip
    older = recent.rest("k", "abc", 5)
    assert older is not None and older.text == "d"
    assert recent.rest("k", "abcd", 5) is None and recent.rest("k", "a", 5) is None
    assert recent.rest("l", "ab", 5) is None
    for i in range(MOST):
        recent.remember(i, infilling("a", "bcd"))
    assert recent.rest("k", "ab", 5) is None and recent.rest(0, "ab", 5) is not None


def test_within_a_token_and_after_a_cut() -> None:
    tokenizer: Any = Characters()
    recent = RecentInfillings(tokenizer)
    recent.remember("k", infilling("a", "éb", finish_reason="length", tokens=[0xE9, 0x62]))
    found = recent.rest("k", "aé", 5)
    assert found is not None and (found.text, found.tokens, found.healed) == ("b", [0x62], "")
    assert recent.rest("k", "aéb", 5) is None  # all of it
    recent.remember("k", infilling("b", "wxyz", finish_reason="length"))
    assert recent.rest("k", "bwx", 5) is not None and recent.rest("k", "bwxy", 5) is None
