"""Adapters of a loaded model: by name in calls, several in a batch, remembered apart, given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.engine.engine import Engine
from halfbyte.errors import EngineError, ModelFileError, RequestError

PROMPT = "ab cd ef gh ij kl"
N_ADAPTERS = 8
MANY: dict[str, Any] = {"max_tokens": 12, "temperature": 0.8, "seed": 3}


@pytest.fixture(scope="module")
def folders(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Callable[[str], ModuleType],
) -> list[Path]:  # fmt: skip
    """Adapters of several ranks and types; every other one changes the attention alone."""
    from safetensors.numpy import load_file

    made, root = benchmark_module("tiny_adapter"), tmp_path_factory.mktemp("adapters")
    weights = load_file(tiny_folder / "model.safetensors")
    modules = made.ATTENTION + made.NETWORK
    return [
        made.save(
            made.TinyAdapter(
                seed, r=1 + 3 * seed, alpha=8, modules=modules if seed % 2 else made.ATTENTION,
                has_head=seed == 3, dtype="float16" if seed == 2 else "float32",
            ),
            weights, root / f"a{seed}",
        )
        for seed in range(N_ADAPTERS)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_gguf: Path, folders: list[Path]) -> Iterator[halfbyte.Model]:
    with halfbyte.load(tiny_gguf, threads=2) as loaded:
        for folder in folders:
            loaded.load_adapter(folder)
        yield loaded


def test_adapters_change_answers_each_in_its_own_way(model: halfbyte.Model) -> None:
    assert model.adapters == [f"a{i}" for i in range(N_ADAPTERS)]
    ids = model.tokenizer.encode(PROMPT)
    found = [model.logits(ids, adapter=name) for name in model.adapters]
    found += [model.logits(ids), model.logits(ids, adapter=("a1", 0.5))]
    found += [model.logits(ids, adapter=["a1", ("a2", -1)])]
    for i, one in enumerate(found):
        assert not any((one == other).all() for other in found[:i])


def test_a_batch_of_all_gives_what_each_gives_alone(
    model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shares the steps; and no step is spared where all decode together."""
    chosen: list[Any] = [None, *model.adapters, ["a1", ("a2", 0.5)], None]
    alone = [model.complete(PROMPT, adapter=one, **MANY).tokens for one in chosen]
    n_together, forward = [], Engine.forward

    def counted(engine: Engine, spans: Any, abort: Any = None) -> Any:
        n_together.append(len({tuple(span.adapters) for span in spans}))
        return forward(engine, spans, abort)

    monkeypatch.setattr(Engine, "forward", counted)
    together: list[Any] = [None] * len(chosen)
    ready = threading.Barrier(len(chosen))

    def call(i: int) -> None:
        ready.wait()
        together[i] = model.complete(PROMPT, adapter=chosen[i], **MANY).tokens

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(chosen))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    assert max(n_together) > 2
    assert len({tuple(tokens) for tokens in alone}) > N_ADAPTERS


def test_prefill_and_decode_agree(model: halfbyte.Model) -> None:
    done = model.complete(PROMPT, adapter="a3", max_tokens=10)
    ids = model.tokenizer.encode(PROMPT)
    for token in done.tokens:
        assert int(model.logits(ids, adapter="a3")[-1].argmax()) == token
        ids.append(token)


def test_guesses_change_nothing(model: halfbyte.Model) -> None:
    plain = model.complete(PROMPT, adapter="a5", max_tokens=40, speculate=False)
    for _ in range(3):  # until steps' costs are known
        guessed = model.complete(PROMPT, adapter="a5", max_tokens=40, prediction=plain.text)
        assert guessed.tokens == plain.tokens


def test_remembered_prompts_are_kept_apart(model: halfbyte.Model) -> None:
    text = "some text that nobody has seen before " * 8
    first = model.complete(text, adapter="a1", max_tokens=4)
    for adapter in (None, "a2", ("a1", 0.5), ["a1", "a2"]):
        reused = model.complete(text, adapter=adapter, max_tokens=4).stats.n_reused
        assert reused <= 1  # BOS, of the prompt that the others had
    again = model.complete(text, adapter="a1", max_tokens=4)
    assert again.stats.n_reused > 200
    assert again.tokens == first.tokens


def test_a_folder_keeps_them_apart_too(
    tiny_gguf: Path, folders: list[Path], tmp_path: Path
) -> None:
    """Under what an adapter computes, whatever its name."""
    text, found = "some text that nobody has seen before " * 8, []
    for name, folder in (("x", folders[1]), ("x", folders[2]), ("y", folders[1])):
        with halfbyte.load(tiny_gguf, threads=1, prompt_cache_dir=tmp_path / "cache") as own:
            own.load_adapter(folder, name=name)
            files = own._memory._model  # whose hash the folder waits for
            assert files is not None
            own.scheduler.between_steps(lambda files=files: files.get(None))
            found.append(own.complete(text, adapter=name, max_tokens=4))
    first, other, again = found
    assert first.stats.n_reused == other.stats.n_reused == 0
    assert again.stats.n_reused > 200
    assert again.tokens == first.tokens != other.tokens


def test_no_adapter_is_the_model_alone(model: halfbyte.Model, tiny_gguf: Path) -> None:
    ids = model.tokenizer.encode(PROMPT)
    with halfbyte.load(tiny_gguf, threads=1) as plain:
        wanted = plain.logits(ids)
    for nothing in (None, [], ("a1", 0), [("a2", 0.0)]):
        assert (model.logits(ids, adapter=nothing) == wanted).all()


def test_an_adapter_given_to_load_is_everybodys(
    model: halfbyte.Model, tiny_gguf: Path, folders: list[Path]
) -> None:
    ids = model.tokenizer.encode(PROMPT)
    wanted = model.logits(ids, adapter=[("a1", 0.5), ("a2", 2.0)])
    with halfbyte.load(
        tiny_gguf, threads=1, adapter=[(folders[1], 0.5), (folders[2], 2.0)]
    ) as adapted:
        assert (adapted.logits(ids) == wanted).all()
        assert (adapted.logits(ids, adapter=[]) == model.logits(ids)).all()
        assert (
            adapted.complete(PROMPT, **MANY).tokens
            == model.complete(PROMPT, adapter=[("a1", 0.5), ("a2", 2.0)], **MANY).tokens
        )
        adapted.unload_adapter("a2")
        assert (adapted.logits(ids) == model.logits(ids, adapter=("a1", 0.5))).all()


def test_unloading_forgets_and_lets_answers_end(
    tiny_gguf: Path, folders: list[Path], model: halfbyte.Model
) -> None:
    with halfbyte.load(tiny_gguf, threads=1) as own:
        assert [own.load_adapter(folders[2]) for _ in range(2)] == ["a2", "a2-2"]
        own.unload_adapter("a2")
        assert own.complete(PROMPT, adapter="a2-2", max_tokens=1).tokens
        own.unload_adapter("a2-2")
        own.load_adapter(folders[1], name="x")
        wanted = model.complete(PROMPT, adapter="a1", max_tokens=60).text
        stream = own.stream(PROMPT, adapter="x", max_tokens=60)
        pieces = [next(stream)]
        own.unload_adapter("x")
        assert own.adapters == []
        pieces += stream
        assert "".join(pieces) == wanted
        with pytest.raises(RequestError, match=r"adapter: expected the name of a loaded adapter"):
            own.complete(PROMPT, adapter="x")
        own.load_adapter(folders[1], name="y")
        assert own.complete(PROMPT, adapter="y", max_tokens=1).stats.n_reused == 0
        assert own.complete(PROMPT, adapter="y", max_tokens=1).stats.n_reused > 0


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("b", "adapter: expected the name of a loaded adapter, got 'b'; loaded are a0, a1"),
        (3, "adapter: expected a name, a pair"),
        ({"a1": 1}, "adapter: expected a name, a pair"),
        ([3], "adapter: expected the name of a loaded adapter, got 3"),
        (("a1", float("nan")), "adapter: expected a scale, a number from -1e+06"),
        (("a1", float("inf")), "adapter: expected a scale"),
        (["a1", ("a2", 1e9)], "adapter: expected a scale"),
        (("a1", True), "adapter: expected a scale"),
    ],
)
def test_bad_arguments(model: halfbyte.Model, adapter: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        model.complete(PROMPT, adapter=adapter, max_tokens=1)
    assert said in str(caught.value)
    assert model.complete(PROMPT, adapter="a1", max_tokens=1).tokens


def test_bad_names_and_paths(
    model: halfbyte.Model, folders: list[Path], tiny_gguf: Path, tiny_folder: Path
) -> None:
    with pytest.raises(RequestError, match=r"name: expected a name that no adapter has, got a1"):
        model.load_adapter(folders[1], name="a1")
    with pytest.raises(RequestError, match=r"name: expected a name, or None"):
        model.load_adapter(folders[1], name="")
    with pytest.raises(RequestError, match=r"path: expected a path"):
        model.load_adapter(3)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"name: expected the name of a loaded adapter"):
        model.unload_adapter("nobody")
    with pytest.raises(ModelFileError, match=r"adapter_config.json.*got another folder"):
        model.load_adapter(tiny_folder)
    with pytest.raises(RequestError, match=r"adapter: expected a scale"):
        halfbyte.load(tiny_gguf, adapter=(folders[1], float("nan")))
    with pytest.raises(FileNotFoundError, match=r"nobody: expected a folder with adapter_config"):
        halfbyte.load(tiny_gguf, adapter="nobody")


def test_a_closed_model_takes_none(tiny_gguf: Path, folders: list[Path]) -> None:
    closed = halfbyte.load(tiny_gguf, threads=1)
    closed.close()
    with pytest.raises(EngineError, match="closed"):
        closed.load_adapter(folders[0])


def test_the_async_methods_take_them(model: halfbyte.Model) -> None:
    import asyncio

    wanted = model.complete(PROMPT, adapter="a1", max_tokens=5).tokens
    got = asyncio.run(model.acomplete(PROMPT, adapter="a1", max_tokens=5))
    assert got.tokens == wanted


def test_scales_are_linear(model: halfbyte.Model) -> None:
    """The same matrices twice at half the scale are them once, but for rounding."""
    ids = model.tokenizer.encode(PROMPT)
    once = model.logits(ids, adapter="a1")
    twice = model.logits(ids, adapter=[("a1", 0.5), ("a1", 0.5)])
    assert np.abs(once - twice).max() < 1e-2 * np.abs(once).max()


def test_a_search_goes_through_the_adapter(
    model: halfbyte.Model, tiny_gguf: Path, folders: list[Path]
) -> None:
    with halfbyte.load(tiny_gguf, threads=1, adapter=folders[1]) as adapted:
        found = adapted.complete(PROMPT, max_tokens=8, num_beams=4, n=4)
        scores = adapted.score(PROMPT, [one.tokens for one in found])
    for one, score in zip(found, scores, strict=True):
        assert one.score is not None and abs(one.score - score.per_token) < 1e-3
    named = model.complete(PROMPT, adapter="a1", max_tokens=8, num_beams=4, n=4)
    assert [one.tokens for one in named] == [one.tokens for one in found]
    plain = model.complete(PROMPT, max_tokens=8, num_beams=4, n=4)
    assert [one.tokens for one in plain] != [one.tokens for one in found]


@pytest.fixture(scope="module")
def adapted(tiny_gguf: Path, folders: list[Path]) -> Iterator[halfbyte.Model]:
    """A model whose calls go through two adapters without a word."""
    given = [(folders[1], 0.5), (folders[3], 1.0)]
    with halfbyte.load(tiny_gguf, threads=1, adapter=given) as loaded:
        yield loaded


CHOSEN = [("a1", 0.5), "a3"]  # as `adapted`; a3 has a head
LONG = "ab cd ef gh ij kl " * 35  # of more tokens than a step takes


@pytest.mark.parametrize("pooling", ["mean", "last", "none"])
def test_embeddings_go_through_them(
    model: halfbyte.Model, adapted: halfbyte.Model, pooling: Any
) -> None:
    import asyncio

    texts = [PROMPT, "x", LONG]
    for _ in range(2):  # the second time, prompts are remembered
        got = model.embed(texts, pooling=pooling, adapter=CHOSEN)
        for one, wanted in zip(got, adapted.embed(texts, pooling=pooling), strict=True):
            assert (one == wanted).all()
    awaited = asyncio.run(model.aembed(PROMPT, pooling=pooling, adapter=CHOSEN))
    assert (awaited == got[0]).all()
    assert (model.embed(PROMPT, pooling=pooling) != got[0]).any()
    assert (adapted.embed(PROMPT, adapter=[]) == model.embed(PROMPT)).all()


def test_scores_and_perplexities_go_through_them(
    model: halfbyte.Model, adapted: halfbyte.Model
) -> None:
    import asyncio

    texts = [" mn", " op qr", " st"]
    wanted = adapted.score(PROMPT, texts)
    assert model.score(PROMPT, texts, adapter=CHOSEN) == wanted != model.score(PROMPT, texts)
    assert asyncio.run(model.ascore(PROMPT, texts, adapter=CHOSEN)) == wanted
    assert adapted.score(PROMPT, texts, adapter=[]) == model.score(PROMPT, texts)
    loss = adapted.perplexity(LONG, window=64)
    assert model.perplexity(LONG, window=64, adapter=CHOSEN) == loss
    assert asyncio.run(model.aperplexity(LONG, window=64, adapter=CHOSEN)) == loss
    assert loss != model.perplexity(LONG, window=64)


@pytest.mark.parametrize("n", [1, 2, 300])
def test_a_trace_goes_through_them(model: halfbyte.Model, adapted: halfbyte.Model, n: int) -> None:
    ids = model.tokenizer.encode(LONG)[:n]
    every: dict[str, Any] = {"attentions": True, "layer_logits": True}
    got, wanted = model.trace(ids, adapter=CHOSEN, **every), adapted.trace(ids, **every)
    plain = model.trace(ids, **every)
    for name in ("hidden_states", "logits", "attentions", "layer_logits"):
        assert (getattr(got, name) == getattr(wanted, name)).all()
        assert (getattr(got, name) != getattr(plain, name)).any() or (name, n) == ("attentions", 1)
    assert (got.logits == model.logits(ids, adapter=CHOSEN)).all()
    assert (got.layer_logits[-1] == got.logits).all()
    assert (got.hidden_states[0] == plain.hidden_states[0]).all()  # none changes the embedding
    states = model.embed(ids, pooling="none", normalize=False, adapter=CHOSEN)
    assert (got.hidden_states[-1] == states).all()
    assert (adapted.trace(ids, adapter=[]).logits == plain.logits).all()


def test_an_unknown_adapter_is_refused_everywhere(model: halfbyte.Model) -> None:
    for call in (
        lambda: model.embed(PROMPT, adapter="b"),
        lambda: model.trace(PROMPT, adapter="b"),
        lambda: model.score(PROMPT, " x", adapter="b"),
        lambda: model.perplexity(LONG, window=64, adapter="b"),
    ):
        with pytest.raises(RequestError, match=r"adapter: expected the name of a loaded adapter"):
            call()
