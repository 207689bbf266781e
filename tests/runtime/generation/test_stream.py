"""How a stream ends: with its completion, an error that stays, or because it was closed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import EngineError
from halfbyte.generation.completion import Completion
from halfbyte.generation.generate import new_request
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.stream import CompletionStream
from halfbyte.progress import silent


class Letters:
    """A vocabulary in which id i is the character chr(i)."""

    n_vocab = 128
    eog_ids = frozenset({1})

    def token_bytes(self, token: int) -> bytes:
        return bytes([token])


class Engine:
    """Goes on with "a"; `before` is called with the number of each step."""

    n_ctx = 1000

    def __init__(self, before: Callable[[int], None] = lambda step: None) -> None:
        self.before, self.n_steps = before, 0

    def new_sequence(self) -> list[int]:
        return []

    def forward(self, spans: Any) -> np.ndarray:
        self.n_steps += 1
        self.before(self.n_steps)
        logits = np.zeros((len(spans), 128), np.float32)
        logits[:, ord("a")] = 1
        return logits


def stream_of(
    engine: Any, n: int = 5, finish: Callable[[Completion], Completion] = lambda done: done
) -> CompletionStream[Completion]:
    tokenizer: Any = Letters()
    request = new_request(tokenizer, [2], SamplingParams(max_tokens=n))
    return CompletionStream(engine, request, silent, finish)


def failing(error: BaseException, at: int) -> CompletionStream[Completion]:
    def before(step: int) -> None:
        if step == at:
            raise error

    return stream_of(Engine(before))


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("error", [EngineError("no memory"), ValueError("odd")])
def test_an_error_comes_again(error: Exception, at: int) -> None:
    stream = failing(error, at)
    for _ in range(at - 1):
        assert next(stream) == "a"
    lengths = []
    for _ in range(4):
        with pytest.raises(type(error)) as caught:
            next(stream)
        assert caught.value is error and stream.completion is None
        lengths.append(len(caught.traceback))
    assert lengths[1] == lengths[3]
    with pytest.raises(type(error)):
        stream.result()
    with pytest.raises(type(error)):
        list(stream)


def test_what_fails_at_the_end_leaves_no_completion() -> None:
    def finish(done: Completion) -> Completion:
        raise LookupError("the end")

    stream = stream_of(Engine(), 2, finish)
    assert next(stream) == "a"
    for _ in range(2):
        with pytest.raises(LookupError):
            next(stream)
    assert stream.completion is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_after_an_interrupt_the_answer_does_not_end_as_if_finished(error: BaseException) -> None:
    stream = failing(error, 2)
    assert next(stream) == "a"
    with pytest.raises(type(error)):
        next(stream)
    for call in (stream.__next__, stream.result):
        with pytest.raises(EngineError, match="interrupted") as caught:
            call()
        assert caught.value.__cause__ is error
    assert stream.completion is None


def test_two_threads_on_one_stream_are_an_error_in_one_of_them() -> None:
    entered, may_go_on = threading.Event(), threading.Event()

    def before(step: int) -> None:
        if step == 2:
            entered.set()
            assert may_go_on.wait(60)

    stream = stream_of(Engine(before))
    pieces: list[str] = []
    other = threading.Thread(target=lambda: pieces.extend(stream))
    other.start()
    assert entered.wait(60)
    for call in (stream.__next__, stream.result, stream.close):
        with pytest.raises(EngineError, match="taken"):
            call()
    may_go_on.set()
    other.join()
    assert "".join(pieces) == "aaaaa"  # the first one did not notice
    assert stream.completion is not None and stream.completion.text == "aaaaa"


def test_a_piece_taken_within_a_piece_is_an_error() -> None:
    stream = stream_of(Engine(lambda step: next(stream) and None))
    with pytest.raises(EngineError, match="taken"):
        next(stream)


def test_a_closed_stream_gives_nothing_more() -> None:
    engine = Engine()
    stream = stream_of(engine)
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == [] and stream.completion is None and engine.n_steps == 1
    with pytest.raises(EngineError, match="closed"):
        stream.result()


def test_closing_after_the_end_keeps_the_completion() -> None:
    stream = stream_of(Engine(), 2)
    assert "".join(stream) == "aa"
    stream.close()
    assert stream.result().text == "aa" and stream.result() is stream.completion


def test_no_tokens_are_an_answer() -> None:
    stream = stream_of(Engine(), 0)
    assert (list(stream), stream.result().finish_reason) == ([], "length")
