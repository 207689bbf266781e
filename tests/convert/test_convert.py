"""The conversion as a whole: bytes, names, interruption, refusal."""

from __future__ import annotations

import errno
import filecmp
import functools
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.conversion import convert as convert_function
from halfbyte.errors import ConversionError, RequestError

QTYPES = {
    "f32": "F32",
    "f16": "F16",
    "bf16": "BF16",
    "q8_0": "Q8_0",
    "q4_0": "Q4_0",
    "q4_1": "Q4_1",
    "q5_0": "Q5_0",
    "q5_1": "Q5_1",
}


convert = functools.partial(convert_function, measure=False)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "hf"))


def tensors_of(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def permuted(w: np.ndarray, n_heads: int) -> np.ndarray:
    """llama.cpp's formula for q and k."""
    return w.reshape(n_heads, 2, w.shape[0] // n_heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


@pytest.mark.parametrize("name", QTYPES)
def test_every_tensor_has_the_reference_bytes(folder: Path, tmp_path: Path, name: str) -> None:
    report = convert(folder, tmp_path / "out.gguf", type=name, pure=True)
    qtype = gguf.GGMLQuantizationType[QTYPES[name]]
    source = load_file(folder / "model.safetensors")
    found = tensors_of(tmp_path / "out.gguf")
    layer = "model.layers.1."
    pairs = {
        "token_embd.weight": source["model.embed_tokens.weight"],
        "output.weight": source["lm_head.weight"],
        "blk.1.attn_q.weight": permuted(source[layer + "self_attn.q_proj.weight"], 4),
        "blk.1.attn_k.weight": permuted(source[layer + "self_attn.k_proj.weight"], 2),
        "blk.1.attn_v.weight": source[layer + "self_attn.v_proj.weight"],
        "blk.1.attn_output.weight": source[layer + "self_attn.o_proj.weight"],
        "blk.1.ffn_gate.weight": source[layer + "mlp.gate_proj.weight"],
        "blk.1.ffn_up.weight": source[layer + "mlp.up_proj.weight"],
        "blk.1.ffn_down.weight": source[layer + "mlp.down_proj.weight"],
    }
    for gguf_name, weight in pairs.items():
        assert found[gguf_name].tensor_type == qtype
        expected = gguf.quants.quantize(weight, qtype).tobytes()
        assert found[gguf_name].data.tobytes() == expected, gguf_name
    norm = found["blk.1.attn_norm.weight"]
    assert norm.tensor_type == gguf.GGMLQuantizationType.F32
    assert (norm.data == source[layer + "input_layernorm.weight"]).all()
    assert report.n_tensors == len(found) == 2 * 9 + 3
    assert report.nbytes == (tmp_path / "out.gguf").stat().st_size
    assert report.fallbacks == ()


def test_metadata_says_what_the_configuration_says(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "out.gguf")
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    values = {k: f.contents() for k, f in fields.items() if not k.startswith("GGUF.")}
    config = json.loads((folder / "config.json").read_text())
    assert values["general.architecture"] == "llama"
    assert values["llama.embedding_length"] == config["hidden_size"]
    assert values["llama.attention.head_count_kv"] == config["num_key_value_heads"]
    assert values["llama.rope.freq_base"] == config["rope_theta"]
    assert values["llama.rope.dimension_count"] == config["head_dim"]
    assert values["llama.vocab_size"] == len(values["tokenizer.ggml.tokens"])
    assert values["general.file_type"] == 7
    assert values["tokenizer.ggml.bos_token_id"] == 1


def test_transformers_5_says_it_differently(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "four.gguf")
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = config.pop("torch_dtype")
    del config["rope_scaling"]
    theta = config.pop("rope_theta")
    config["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    (folder / "config.json").write_text(json.dumps(config))
    convert(folder, tmp_path / "five.gguf")
    assert filecmp.cmp(tmp_path / "four.gguf", tmp_path / "five.gguf", shallow=False)


def test_shards_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "one.gguf")
    source = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(source)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({n: source[n] for n in members}, folder / shard)
    weight_map = {n: shard for shard, members in shards.items() for n in members}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    convert(folder, tmp_path / "two.gguf")
    assert filecmp.cmp(tmp_path / "one.gguf", tmp_path / "two.gguf", shallow=False)


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_precision_sources_are_widened_exactly(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    source = load_file(folder / "model.safetensors")
    widened: dict[str, np.ndarray] = {}
    if kind == "f16":
        save_file(
            {k: v.astype(np.float16) for k, v in source.items()}, folder / "model.safetensors"
        )
        widened = {k: v.astype(np.float16).astype(np.float32) for k, v in source.items()}
    else:
        header, blobs, at = {}, [], 0
        for name, value in source.items():
            bits = (value.view(np.uint32) >> 16).astype(np.uint16)
            widened[name] = (bits.astype(np.uint32) << 16).view(np.float32)
            header[name] = {
                "dtype": "BF16", "shape": value.shape, "data_offsets": [at, at + bits.nbytes]
            }  # fmt: skip
            blobs.append(bits.tobytes())
            at += bits.nbytes
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + b"".join(blobs)
        (folder / "model.safetensors").write_bytes(data)
    convert(folder, tmp_path / "out.gguf", type="f32")
    found = tensors_of(tmp_path / "out.gguf")
    assert (found["output.weight"].data == widened["lm_head.weight"]).all()
    assert (found["output_norm.weight"].data == widened["model.norm.weight"]).all()


def test_rows_that_do_not_fit_the_block_become_f16(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    tiny = benchmark_module("tiny_llama")
    shape = {"dim": 64, "hidden_dim": 80, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2}
    model = tiny.Tiny("odd", 1, **shape, head_dim=32, vocab_size=300, rope_theta=1e4, tied=True)
    tiny.save(model, tmp_path / "hf")
    report = convert(tmp_path / "hf", tmp_path / "out.gguf", type="q4_0", pure=True)
    assert report.fallbacks == ("blk.0.ffn_down.weight",)
    assert "blk.0.ffn_down.weight" in caplog.text
    with halfbyte.load(tmp_path / "out.gguf") as loaded:
        assert np.isfinite(loaded.logits([1, 2, 3])).all()


def test_importing_its_modules_does_not_shadow_the_function(folder: Path, tmp_path: Path) -> None:
    assert halfbyte.convert(folder, tmp_path / "out.gguf").type == "q8_0"
    importlib.import_module("halfbyte.converting.convert")
    assert halfbyte.convert(folder, tmp_path / "again.gguf", type="F16").type == "f16"
    assert halfbyte.convert is convert_function


def test_an_existing_file_is_kept_unless_forced(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    target.write_bytes(b"precious")
    with pytest.raises(ConversionError, match="force"):
        convert(folder, target)
    assert target.read_bytes() == b"precious"
    convert(folder, target, force=True)
    assert target.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(
    folder: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "out.gguf"
    target.write_bytes(b"precious")

    def progress(stage: str, done: int, total: int) -> None:
        assert stage == "convert"
        if done > total // 2:
            raise error

    with pytest.raises(error):
        convert(folder, target, force=True, progress=progress)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hf", "out.gguf"]
    assert target.read_bytes() == b"precious"


def test_a_full_disk_is_a_conversion_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: object, name: str, data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("halfbyte.converting.writer.Writer.write", write)
    with pytest.raises(ConversionError, match="No space left"):
        convert(folder, tmp_path / "out.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_an_unknown_type_names_the_known(folder: Path, tmp_path: Path) -> None:
    for name in ("q9_9", "", None):
        with pytest.raises(RequestError, match="q8_0"):
            convert(folder, tmp_path / "out.gguf", type=name)


def test_weights_that_are_no_numbers_are_named(folder: Path, tmp_path: Path) -> None:
    source = load_file(folder / "model.safetensors")
    source["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    save_file(source, folder / "model.safetensors")
    with pytest.raises(ConversionError, match=r"layers\.1\.mlp\.up_proj"):
        convert(folder, tmp_path / "out.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_the_demonstration_model_converts(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / "models" / "infill-10m"
    convert(source, tmp_path / "infill.gguf", type="q8_0")
    found = tensors_of(tmp_path / "infill.gguf")
    weights = load_file(source / "model.safetensors")
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    down = weights["model.layers.7.mlp.down_proj.weight"].astype(np.float32)
    assert (
        found["blk.7.ffn_down.weight"].data.tobytes() == gguf.quants.quantize(down, q8_0).tobytes()
    )
    fields = gguf.GGUFReader(tmp_path / "infill.gguf").fields
    ids = [fields[f"tokenizer.ggml.{k}_token_id"].contents() for k in ("fim_pre", "fim_suf", "eot")]
    assert ids == [8007, 8008, 8010]


def test_how_the_makers_sample_is_kept(folder: Path, tmp_path: Path) -> None:
    """As llama.cpp's converter reads it, which leaves the repetition penalty out."""
    # Qwen2.5-Coder-7B-Instruct's.
    config = {
        "bos_token_id": 151643, "pad_token_id": 151643, "do_sample": True,
        "eos_token_id": [151645, 151643], "repetition_penalty": 1.1, "temperature": 0.7,
        "top_p": 0.8, "top_k": 20, "transformers_version": "4.44.0",
    }  # fmt: skip
    (folder / "generation_config.json").write_text(json.dumps(config))
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    convert(folder, first, type="q8_0")
    convert(first, second, type="q4_0")
    theirs = gguf.Metadata.load(model_path=folder)
    general = gguf.Keys.General
    for path in (first, second):
        fields = gguf.GGUFReader(path).fields
        expected = {
            general.SAMPLING_TEMP: theirs.sampling_temp,
            general.SAMPLING_TOP_K: theirs.sampling_top_k,
            general.SAMPLING_TOP_P: theirs.sampling_top_p,
            general.SAMPLING_PENALTY_REPEAT: 1.1,
        }
        kept = {key for key in fields if key.startswith("general.sampling.")}
        assert kept == set(expected)
        for key, value in expected.items():
            assert fields[key].contents() == pytest.approx(value, rel=1e-7)
        assert fields[general.SAMPLING_TOP_K].types == [gguf.GGUFValueType.INT32]
        assert fields[general.SAMPLING_TEMP].types == [gguf.GGUFValueType.FLOAT32]
        with halfbyte.load(path, threads=1) as model:
            assert model.chat_defaults == {
                "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1,
            }  # fmt: skip


def test_a_generation_config_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    (folder / "generation_config.json").write_text("[")
    with pytest.raises(ConversionError, match=r"generation_config\.json: expected readable"):
        convert(folder, tmp_path / "out.gguf")


@pytest.mark.parametrize(
    ("name_or_path", "base"),
    [
        ("Qwen/Qwen2.5-Coder-7B", "Qwen2.5-Coder-7B"),
        ("/home/me/models/tune", None),
        ("tune", None),
        ("../a", None),
        (None, None),
        (5, None),
    ],
)
def test_the_model_that_it_was_made_from_is_kept(
    folder: Path, tmp_path: Path, name_or_path: object, base: str | None
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": name_or_path}))
    convert(folder, tmp_path / "out.gguf", type="q8_0", name="tune")
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    general = gguf.Keys.General
    assert (general.BASE_MODEL_COUNT in fields) == (base is not None)
    if base is not None:
        assert fields[general.BASE_MODEL_COUNT].contents() == 1
        assert fields[general.BASE_MODEL_NAME.format(id=0)].contents() == base
        url = fields[general.BASE_MODEL_REPO_URL.format(id=0)].contents()
        assert url == f"https://huggingface.co/{name_or_path}"


def test_a_folder_of_the_hubs_cache_has_the_repositorys_name(folder: Path, tmp_path: Path) -> None:
    commit = "5a8f4c5f3e1d7c6b9a0d2e4f6a8b0c2d4e6f8a0b"
    snapshot = tmp_path / "models--codellama--CodeLlama-7b-hf" / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    convert(snapshot, tmp_path / "out.gguf", type="q8_0")
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert fields["general.name"].contents() == "CodeLlama-7b-hf"


def test_many_rows_that_do_not_fit_are_one_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = convert(folder, tmp_path / "out.gguf", type="q4_k_s")
    lines = [text for text in caplog.messages if "rows do not fit" in text]
    assert len(report.fallbacks) > 9 and len(lines) < 4
    assert "token_embd.weight" in caplog.text and " more: rows do not fit" in caplog.text
