"""What ends an answer: a caller's criteria, time and texts, of rows and along beams."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import RequestError
from halfbyte.hf.auto_model import CausalLM

IDS = np.array([[1, 300, 301, 17, 99]])
CALL: dict[str, Any] = {"max_new_tokens": 6, "eos_token_id": None}
ROWS = {"inputs": np.array([[0, 0, 1], [1, 290, 44]]), "attention_mask": [[0, 0, 1], [1, 1, 1]]}


def test_criteria_see_each_row_with_its_padding(tiny: CausalLM) -> None:
    seen: list[list[int]] = []

    def never(input_ids: Any, scores: Any) -> bool:
        assert scores is None and input_ids.dtype == np.int64
        seen.append(input_ids.tolist()[0])
        return False

    out = tiny.generate(**ROWS, stopping_criteria=[never], **CALL)
    assert sorted(seen) == sorted(row[:n].tolist() for row in out for n in range(4, 10))


def test_all_criteria_are_asked_and_one_suffices(tiny: CausalLM) -> None:
    asked: list[str] = []

    def of(name: str, answer: Any) -> Any:
        return lambda ids, scores: asked.append(name) or answer

    out = tiny.generate(IDS, stopping_criteria=[of("a", True), of("b", np.bool_(False))], **CALL)
    assert out.shape == (1, 6) and asked == ["a", "b"]
    for value in (np.array([True]), np.array(True)):
        assert tiny.generate(IDS, stopping_criteria=[of("c", value)], **CALL).shape == (1, 6)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}])
@pytest.mark.parametrize(
    "made", [None, 1, "yes", np.array([1]), np.array([True, False]), np.array([[True]])], ids=repr
)
def test_what_is_no_answer_is_named(tiny: CausalLM, more: dict[str, Any], made: Any) -> None:
    def criterion(ids: Any, scores: Any) -> Any:
        return made

    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, stopping_criteria=[criterion], **CALL, **more)
    assert caught.value.param == "stopping_criteria"
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, stopping_criteria=[lambda ids, scores: False, criterion], **CALL, **more)
    assert caught.value.param == "stopping_criteria[1]"
    assert tiny.generate(IDS, **CALL).shape == (1, 11)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}])
@pytest.mark.parametrize("name", ["stopping_criteria", "prefix_allowed_tokens_fn"])
def test_an_exception_is_the_callers(tiny: CausalLM, more: dict[str, Any], name: str) -> None:
    def fails(first: Any, second: Any) -> Any:
        raise KeyError("mine")

    given: Any = [fails] if name == "stopping_criteria" else fails
    with pytest.raises(KeyError, match="mine"):
        tiny.generate(IDS, **{name: given}, **CALL, **more)
    assert tiny.generate(IDS, **CALL).shape == (1, 11)


@pytest.mark.parametrize("made", [[], None, 3, [323], [-1], [1.5], ["a"], [[1]]], ids=repr)
def test_what_are_no_ids_is_named(tiny: CausalLM, made: Any) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, prefix_allowed_tokens_fn=lambda i, ids: made, **CALL)
    assert caught.value.param == "prefix_allowed_tokens_fn"


def test_one_token_comes_however_short_the_time(
    tiny: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    from halfbyte.hf.endings import Endings

    endings = Endings.of(
        tiny.configure(None, {"max_time": 2.5, "eos_token_id": None}), tiny.model.tokenizer
    )
    assert [endings.reached([5]) for _ in range(4)] == [False, False, True, True]


def test_texts_end_beams_too(tiny: CausalLM) -> None:
    tokenizer, how = tiny.model.tokenizer, {"num_beams": 3, "num_return_sequences": 3, **CALL}
    free = tiny.generate(IDS, **how)
    spelled = [tokenizer.token_bytes(token) for token in free[:, 5:8].ravel().tolist()]
    for stop in {piece for piece in spelled if piece.isascii()}:

        def ends(ids: Any, scores: Any, stop: bytes = stop) -> bool:
            return stop in tokenizer.token_bytes(int(ids[0, -1]))

        out = tiny.generate(IDS, stop_strings=stop.decode(), **how)
        assert out.tolist() == tiny.generate(IDS, stopping_criteria=[ends], **how).tolist()
        assert out.tolist() != free.tolist()


def test_it_is_the_same_beside_others_and_with_guesses(tiny: CausalLM) -> None:
    def seventh(input_ids: Any, scores: Any) -> Any:
        return input_ids[:, -1] % 7 == 0

    how: dict[str, Any] = {
        "stopping_criteria": [seventh], "no_repeat_ngram_size": 2, "suppress_tokens": [9],
        "do_sample": True, "top_k": 1, "output_scores": True, "return_dict_in_generate": True,
        **CALL, "max_new_tokens": 20,
    }  # fmt: skip
    rows = np.array([[1, 280, 33, 33, 280], [1, 310, 12, 77, 260], [1, 300, 301, 17, 99]])
    together = tiny.generate(rows, **how)
    guessed = tiny.generate(rows, prompt_lookup_num_tokens=4, **how)
    assert guessed.sequences.tolist() == together.sequences.tolist()
    for i, row in enumerate(rows):
        alone = tiny.generate(row[None], **how)
        n = alone.sequences.shape[1]
        assert together.sequences[i, :n].tolist() == alone.sequences[0].tolist()
        for ours, other, again in zip(alone.scores, together.scores, guessed.scores, strict=False):
            assert ours[0].tobytes() == other[i].tobytes() == again[i].tobytes()
