"""`embed` and `trace` as users call them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte

TEXTS = ["a", "def f(x):", "some longer text " * 30]


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Any:
    with halfbyte.load(tiny_gguf, threads=2, ctx=512) as model:
        yield model


def test_an_embedding_is_the_mean_of_the_states(model: halfbyte.Model) -> None:
    for text in TEXTS:
        states = model.trace(text).hidden_states[-1].astype(np.float64)
        assert np.allclose(model.embed(text, normalize=False), states.mean(0), atol=1e-6)
        unit = states.mean(0) / np.linalg.norm(states.mean(0))
        assert np.allclose(model.embed(text), unit, atol=1e-6)


def test_poolings(model: halfbyte.Model) -> None:
    states = model.trace(TEXTS[1]).hidden_states[-1]
    how = {"normalize": False}
    assert np.array_equal(model.embed(TEXTS[1], pooling="last", **how), states[-1])
    assert np.array_equal(model.embed(TEXTS[1], pooling="first", **how), states[0])
    assert np.array_equal(model.embed(TEXTS[1], pooling="none", **how), states)
    rows = model.embed(TEXTS[1], pooling="none")
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "last", "first", "none"])
def test_several_texts_are_each_alone(model: halfbyte.Model, pooling: Any) -> None:
    alone = [model.embed(text, pooling=pooling) for text in TEXTS]
    for _ in range(2):  # the second time, prompts are known
        for one, many in zip(alone, model.embed(TEXTS, pooling=pooling), strict=True):
            assert np.array_equal(one, many)
    assert np.shape(alone[0]) == ((2, 64) if pooling == "none" else (64,))


def test_beside_others_the_bits_are_the_same(model: halfbyte.Model) -> None:
    alone, said = model.embed(TEXTS), model.complete("ab", max_tokens=40)
    answers: list[halfbyte.Completion] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.complete("ab", max_tokens=40)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    beside = [(model.embed(TEXTS), model.trace(TEXTS[2])) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert [answer.tokens for answer in answers] == [said.tokens] * 3
    for vectors, trace in beside:
        assert np.array_equal(vectors, alone)
        assert np.array_equal(trace.logits, model.logits(trace.tokens))


def test_awaited(model: halfbyte.Model) -> None:
    assert np.array_equal(asyncio.run(model.aembed(TEXTS)), model.embed(TEXTS))


def test_a_cancelled_task_gives_its_texts_up(model: halfbyte.Model) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(model.aembed([[3] * 500] * 200))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = model.embed(TEXTS)
    asyncio.run(give_up())
    assert np.array_equal(model.embed(TEXTS), before)
    batch = model.scheduler._worker.batch
    assert model.scheduler.between_steps(lambda: batch.is_idle)


def test_ids_are_taken_as_they_are(model: halfbyte.Model) -> None:
    ids = model.tokenizer.encode("abc")
    assert np.array_equal(model.embed(ids), model.embed("abc"))
    assert model.trace(ids).tokens == ids


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "pooling": ("a", {"pooling": "max"}, "pooling"),
    "normalize": ("a", {"normalize": 2}, "normalize"),
    "empty": ("", {}, "texts"),
    "empties": (["a", ""], {}, r"texts\[1\]"),
    "none": ([], {}, "texts"),
    "number": (3, {}, "texts"),
    "range": ([5000], {}, r"texts\[0\]"),
    "long": ([1] * 600, {}, "texts"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calls(model: halfbyte.Model, name: str) -> None:
    texts, how, param = BAD[name]
    with pytest.raises(halfbyte.RequestError, match=param):
        model.embed(texts, **how)
    assert len(model.embed("a")) == 64


def test_bad_traces(model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.RequestError, match="attentions"):
        model.trace("a", attentions="yes")  # type: ignore[arg-type]
    with pytest.raises(halfbyte.RequestError, match="layer_logits"):
        model.trace("a", layer_logits=1)  # type: ignore[arg-type]
    with pytest.raises(halfbyte.RequestError, match="a list of prompts"):
        model.trace(["a", "b"])  # type: ignore[list-item]


def test_a_closed_model_says_so(tiny_gguf: Path) -> None:
    model = halfbyte.load(tiny_gguf, threads=1)
    model.close()
    for call in (lambda: model.embed("a"), lambda: model.trace("a")):
        with pytest.raises(halfbyte.EngineError, match="closed"):
            call()
