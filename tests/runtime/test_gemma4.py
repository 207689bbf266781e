"""Gemma 4's layers of different sizes, shared keys, own embeddings and experts: the same bits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.sequence import Sequence as Tokens

KINDS = {"gemma4_e": (6, 2), "gemma4_moe": (2, 4)}
N = 300  # positions: three pages, and many times the window
Loader = Callable[[str], ModuleType]


@pytest.fixture(scope="module", params=KINDS)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Loader,
) -> Path:  # fmt: skip
    tiny_llama = benchmark_module("tiny_llama")
    kind, (n_layers, n_kv_heads) = request.param, KINDS[request.param]
    path = tmp_path_factory.mktemp(kind) / "hf"
    tiny = tiny_llama.Tiny(kind, 3, 64, 96, n_layers, 4, n_kv_heads, 16, 323, 1e4, True, kind=kind)
    tiny_llama.save(tiny, path)
    return path


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    out = folder.with_name("m.gguf")
    halfbyte.convert(folder, out, type="q8_0", measure=False)
    return out


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[halfbyte.Model]:
    with halfbyte.load(path, threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return [1, *np.random.default_rng(1).integers(3, 323, N - 1).tolist()]


def _run(engine: Engine, ids: Sequence[int], chunks: Sequence[int]) -> tuple[np.ndarray, Tokens]:
    sequence, out, at = engine.new_sequence(), [], 0
    for n in chunks:
        out.append(engine.forward([Span(sequence, ids[at : at + n], n)]))
        at += n
    return np.concatenate(out), sequence


def test_chunks_company_and_cuts(model: halfbyte.Model, ids: list[int]) -> None:
    engine = model.engine
    whole, sequence = _run(engine, ids, [200, 100])
    for chunks in ([130, 1, 69, 100], [256, 40, *[1] * 4]):
        assert (_run(engine, ids, chunks)[0] == whole).all()
    fork = sequence.fork(140)
    sequence.truncate(150)
    other = engine.new_sequence()
    spans = [Span(fork, ids[140:180], 40), Span(other, ids[:60], 60),
             Span(sequence, ids[150:190], 40)]  # fmt: skip
    logits = engine.forward(spans)
    assert (logits[:40] == whole[140:180]).all() and (logits[40:100] == whole[:60]).all()
    assert (logits[100:] == whole[150:190]).all()


def test_threads(path: Path, model: halfbyte.Model, ids: list[int]) -> None:
    with halfbyte.load(path, threads=1) as alone:
        assert (alone.logits(ids) == model.logits(ids)).all()


def test_a_window_that_is_asked_for(path: Path, model: halfbyte.Model, ids: list[int]) -> None:
    """In layers that have none: of heads of another size, whose keys others read."""
    plain, _ = _run(model.engine, ids, [200, 100])
    with halfbyte.load(path, threads=2, attention_window=80, attention_sinks=3) as asked:
        whole, _ = _run(asked.engine, ids, [200, 100])
        assert (_run(asked.engine, ids, [130, 1, 69, 96, *[1] * 4])[0] == whole).all()
    assert (whole[:83] == plain[:83]).all() and (whole[-1] != plain[-1]).any()


def test_remembered_prompts(path: Path, ids: list[int], tmp_path: Path) -> None:
    def ask(model: halfbyte.Model) -> tuple[list[int], list[float], int]:
        done = model.complete(ids, max_tokens=8, logprobs=0)
        return done.tokens, [one.logprob for one in done.logprobs], done.stats.n_reused

    with halfbyte.load(path, threads=2) as model:
        answers = [ask(model), ask(model)]
        model.save_cache(tmp_path / "cache")
    with halfbyte.load(path, threads=2) as model:
        model.load_cache(tmp_path / "cache")
        answers.append(ask(model))
    assert [answer[:2] for answer in answers] == [answers[0][:2]] * 3
    assert answers[0][2] == 0 and all(answer[2] >= 256 for answer in answers[1:])


def test_what_is_inside(model: halfbyte.Model, ids: list[int]) -> None:
    trace = model.trace(ids[:60], attentions=True)
    assert (trace.logits == model.logits(ids[:60])).all()
    assert trace.attentions is not None
    assert trace.attentions.sum(-1) == pytest.approx(1, abs=1e-4)
    assert (trace.attentions[0, :, 40, :10] == 0).all()  # behind the window
    assert (trace.attentions[1, :, 40, :10] > 0).any()


def test_the_table_stays_in_the_file(path: Path, ids: list[int], tmp_path: Path) -> None:
    from halfbyte.engine.footprint import memory_of
    from halfbyte.families.from_gguf import config_from_gguf
    from halfbyte.gguf.file import GGUFFile

    with GGUFFile.open(path) as file:
        config, tensors = config_from_gguf(file), file.tensors
        need = memory_of(file, config, "f16", 128, 1)
    if not config.per_layer_dim:
        assert need.in_file == 0
        return
    assert need.in_file == tensors["per_layer_token_embd.weight"].nbytes
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    with halfbyte.load(copy, threads=1) as model:
        sequence = model.engine.new_sequence()
        before = model.engine.forward([Span(sequence, ids[:9], 1)])
        os.truncate(copy, 4096)
        with pytest.raises(halfbyte.EngineError, match="cut short"):
            model.engine.forward([Span(sequence, ids[9:19], 1)])
        assert sequence.n_past == 9
        with pytest.raises(halfbyte.EngineError, match="cut short"):
            model.complete(ids[:9], max_tokens=1)
        copy.write_bytes(path.read_bytes())
        assert model.complete(ids[:9], max_tokens=1).tokens  # for who comes later it is as it was
        again = model.engine.forward([Span(model.engine.new_sequence(), ids[:9], 1)])
        assert (again == before).all()


def test_keys_that_nobody_reads_are_left_out(
    folder: Path, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if "gemma4_e" not in str(folder):
        pytest.skip("its layers share nothing")
    tensors = load_file(folder / "model.safetensors")
    more = {name.replace(".layers.1.", ".layers.5."): value for name, value in tensors.items()
            if ".layers.1.self_attn.k_" in name or ".layers.1.self_attn.v_" in name}  # fmt: skip
    other = tmp_path / "hf"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    text = json.loads((folder / "config.json").read_text())
    wrapped = {"model_type": "gemma4", "text_config": text, "vision_config": {}, "audio_config": {}}
    (other / "config.json").write_text(json.dumps(wrapped))
    named = {name.replace("model.", "model.language_model.", 1): value
             for name, value in (tensors | more).items()}  # fmt: skip
    eye = np.zeros((2, 2), np.float32)
    named |= {"model.vision_tower.a.weight": eye, "model.embed_audio.b.weight": eye}
    save_file(named, other / "model.safetensors", metadata={"format": "pt"})
    out = tmp_path / "m.gguf"
    halfbyte.convert(other, out, type="q8_0", measure=False)
    assert "layers 3 and on read the keys of others: 3 tensors" in caplog.text
    assert "left out: vision_config, audio_config" in caplog.text
    with halfbyte.load(path, threads=1) as model, halfbyte.load(out, threads=1) as same:
        assert (model.logits([1, 5, 9]) == same.logits([1, 5, 9])).all()
