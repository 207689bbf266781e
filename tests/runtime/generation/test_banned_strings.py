"""Stepping back where a banned text is complete: with a script, and with a model."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scripted import END, Caller, Letters, ScriptedEngine, batch_of

import halfbyte
from halfbyte.engine.engine import Span
from halfbyte.errors import RequestError
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.rules.forbidden import MAX_AT_A_PLACE
from halfbyte.generation.rules.min_tokens import MinTokens
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.text_request import TextRequest


class Second(ScriptedEngine):
    """Has a second choice everywhere: the same letter as a capital, then `?`, `~`, `|`..."""

    def _row(self, tokens: list[int]) -> np.ndarray:
        row = super()._row(tokens)
        letter = chr(int(np.argmax(row)))
        row[ord(letter.upper())] += 0.5 if letter.islower() else 0.0
        row[[ord(char) for char in "?~|"]] += 0.3, 0.2, 0.1
        return row


def request_of(
    *banned: str, rules: Seq[Any] = (), confidence: Confidence | None = None, **params: Any
) -> TextRequest:
    tokenizer: Any = Letters()
    return TextRequest(
        tokenizer, [0, 5], SamplingParams(**params), 1000, rules=rules, confidence=confidence,
        shown=ShownText(params.get("stop", ()), banned=banned),
    )  # fmt: skip


def run(
    engine: Any,
    *banned: str,
    rules: Seq[Any] = (),
    preempts: bool = False,
    confidence: Confidence | None = None,
    **params: Any,
) -> TextRequest:
    request = request_of(*banned, rules=rules, confidence=confidence, **params)
    seen: list[str] = []

    class Watcher(Caller):
        def tell(self, request: TextRequest) -> None:
            seen.append(request.text)

    Watcher(request)
    batch = batch_of(engine)
    batch.add(request)
    while not batch.is_idle:
        batch.step()
        if preempts and request in batch._running:
            batch._preempt(request)
    assert all(text.startswith(before) for before, text in pairwise(seen))
    assert not any(text in before for before in seen for text in banned)
    return request


@pytest.mark.parametrize(
    ("script", "banned", "want"),
    [
        ("a bad day", ["bad"], "a Bad day"),
        ("a bad day", ["bad", "Bad"], "a ?ad day"),
        ("bad", ["bad"], "Bad"),
        ("baba", ["ba"], "BaBa"),
        ("abab", ["bab", "ab"], "ABAb"),
        ("bad", ["x"], "bad"),
        ("ba", ["bad"], "ba"),  # it was only begun
        ("abc", ["abc", "bc"], "ABc"),  # of two, first the one that begins first
    ],
)
def test_it_goes_on_with_another_token(script: str, banned: list[str], want: str) -> None:
    for preempts in (False, True):
        request = run(Second(script), *banned, preempts=preempts)
        assert (request.text, request.finish_reason, request.error) == (want, "stop", None)
        assert "".join(map(chr, request.tokens)) == want


def test_limits_count_what_is_kept() -> None:
    request = run(Second("xbadyz"), "bad", max_tokens=4)
    assert (request.text, request.finish_reason) == ("xBad", "length")
    assert request.stats().n_decode == 3 + 3  # three tokens were taken back


def test_a_stop_before_it_ends_the_answer() -> None:
    request = run(Second("xbad"), "bad", stop=("xba",))
    assert (request.text, request.finish_reason) == ("", "stop")


def test_what_comes_again_and_again_ends_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    every = [chr(code) for code in range(128) if code != END]
    least = MinTokens(1, {END}, Letters().token_bytes)
    request = run(Second("abc"), *every, rules=[least])
    assert (request.text, request.finish_reason) == ("", "banned")
    assert "came again and again" in caplog.text and request.tokens == []
    assert request.stats().n_decode < 2 * MAX_AT_A_PLACE


def test_the_end_may_come_instead() -> None:
    class Ends(ScriptedEngine):
        def _row(self, tokens: list[int]) -> np.ndarray:
            row = super()._row(tokens)
            row[END] += 0.5
            return row

    request = run(Ends("ab"), "b")
    assert (request.text, request.finish_reason) == ("a", "stop")


def test_rules_step_back_too() -> None:
    class Counts:
        n = 0

        def change(self, row: Any) -> None: ...

        def accept(self, token: int) -> None:
            self.n += 1

        def rewind(self, n: int) -> None:
            self.n -= n

    rule = Counts()
    request = run(Second("a bad day"), "bad", rules=[rule])
    assert rule.n == len(request.tokens)


def test_all_that_was_counted_is_taken_back() -> None:
    confidence = Confidence()
    request = run(Second("a bad day"), "bad", confidence=confidence, presence_penalty=0.01)
    assert request.text == "a Bad day" and request._sampler._history is not None
    assert request._sampler._history._accepted == request.tokens
    again = Confidence()
    other = run(Second("a Bad day"), confidence=again, presence_penalty=0.01)
    assert other.tokens == request.tokens
    assert len(confidence._sums) == len(again._sums) == len(request.tokens) + 2  # and its end


def test_right_guesses_are_taken_back_with_it() -> None:
    """Rows that follow the banned text in the same step are not looked at."""
    engine, request = Second("a bad day"), request_of("bad")
    request.sequence = sequence = engine.new_sequence()  # type: ignore[assignment]
    request.take(engine.forward([Span(sequence, [0, 5], 1)]))
    guesses = [ord(char) for char in " bad day"]
    rows = engine.forward([Span(sequence, [request.ids[-1], *guesses], 1 + len(guesses))])
    request.drafted = guesses
    request.take(rows)
    assert "".join(map(chr, request.tokens)) == "a "
    assert sequence.tokens == request.ids[:-1]
    request.take(engine.forward([Span(sequence, [request.ids[-1]], 1)]))
    assert "".join(map(chr, request.tokens)) == "a B"


def test_what_cannot_step_back_is_refused() -> None:
    class Cannot:
        def change(self, row: Any) -> None: ...

        def accept(self, token: int) -> None: ...

    with pytest.raises(RequestError, match=r"banned_strings: .*Cannot"):
        run(Second("ab"), "b", rules=[Cannot()])


# --- a model ----------------------------------------------------------------------------------

CODE = "import numpy as np\n\ndef "


@pytest.fixture(scope="module")
def model() -> Any:
    with halfbyte.load("infill-10m", threads=2) as model:
        yield model


@pytest.mark.parametrize(
    ("banned", "how"),
    [
        ("dtype", {}), ("\n    ", {"temperature": 0.8, "seed": 3, "dry_multiplier": 0.5}),
        ("r", {"temperature": 1.0, "mirostat": 2, "seed": 1}),
        ("a", {"repetition_penalty": 1.1, "bad_words": ["self"]}),
    ],
)  # fmt: skip
def test_the_same_bits_beside_others(model: Any, how: dict[str, Any], banned: str) -> None:
    how = {"max_tokens": 24, "banned_strings": banned, **how}
    alone = model.complete(CODE, speculate=False, **how)
    assert banned not in alone.text
    assert model.complete(CODE, **how).tokens == alone.tokens
    assert "".join(model.stream(CODE, **how)) == alone.text
    together = model.complete([CODE, "class A:\n", CODE], **how)
    assert together[0].tokens == alone.tokens
    if "seed" not in how:
        assert together[2].tokens == alone.tokens


def test_what_stands_before_the_step_back_stays(model: Any) -> None:
    """As if the token had been forbidden there from the beginning."""
    plain = model.complete(CODE, max_tokens=24)
    at = plain.text.index("dtype")
    done = model.complete(CODE, max_tokens=24, banned_strings="dtype")
    ids, n = model.tokenizer.encode(CODE), 0
    while len(model.tokenizer.decode(plain.tokens[: n + 1])) <= at:
        n += 1
    assert done.tokens[:n] == plain.tokens[:n] and done.tokens[n] != plain.tokens[n]
    kept = [*ids, *plain.tokens[:n]]
    bias = {plain.tokens[n]: -np.inf}
    while True:  # other tokens, too, may begin it
        (token,) = model.complete(kept, max_tokens=1, logit_bias=bias).tokens
        if token == done.tokens[n]:
            break
        assert "dtype".startswith(model.tokenizer.token_bytes(token).decode().strip(" _"))
        bias[token] = -np.inf


def test_the_first_token_is_taken_back(model: Any) -> None:
    ids = model.tokenizer.encode(CODE)
    plain = model.complete(ids, max_tokens=6)
    first = model.tokenizer.decode(plain.tokens[:1])
    for _ in range(2):  # the second time, the prompt is remembered
        done = model.complete(ids, max_tokens=6, banned_strings=first)
        assert first not in done.text and done.tokens[0] != plain.tokens[0]
        bias = {plain.tokens[0]: -np.inf}
        assert model.complete(ids, max_tokens=1, logit_bias=bias).tokens == done.tokens[:1]
    assert model.complete(ids, max_tokens=6).tokens == plain.tokens


def test_a_prompts_end_is_not_spelled_into_it(model: Any) -> None:
    healed = model.complete("import nu", max_tokens=5)
    assert healed.text.startswith("mpy")
    done = model.complete("import nu", max_tokens=5, banned_strings="mpy")
    given = model.complete("import nu", max_tokens=5, banned_strings="mpy", heal=False)
    assert done.text == given.text and "mpy" not in done.text


def test_a_middle_steps_back(model: Any) -> None:
    gap, how = ("import nu", "\n\nx = np.zeros(3)"), {"max_tokens": 4, "confidence": True}
    plain = model.infill(*gap, **how)
    assert plain.text.startswith("mpy as")
    done = model.infill(*gap, banned_strings=["as"], **how)
    assert done.text.startswith("mpy") and "as" not in done.text
    assert 0 < done.mean_probability < plain.mean_probability
    assert model.infill(*gap, **how).text == plain.text
    typed = model.infill("import num", gap[1], banned_strings=["py"], **how)
    assert typed.n_typed == 0 and "py" not in typed.text  # not the rest of another answer


def test_rules_rewind_as_if_nothing_had_been(model: Any) -> None:
    rules = TokenRules.split(model.tokenizer, {"min_tokens": 3, "bad_words": [[1, 2]]})[0]
    for rule in rules.rules(model.tokenizer, [1], [], {2}):
        before = np.zeros(model.tokenizer.n_vocab, np.float32)
        after = before.copy()
        rule.change(before)
        for token in (1, 5, 1):
            rule.accept(token)
        rule.rewind(3)  # type: ignore[attr-defined]
        rule.change(after)
        assert (before == after).all()
