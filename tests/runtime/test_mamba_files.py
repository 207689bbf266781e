"""Files and checkpoints of Mamba-2's hybrids, the whole way: as others make them, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.gguf.file import GGUFFile

IDS = list(range(3, 60))


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> dict[str, Path]:
    """Checkpoints of which nobody may change anything."""
    tiny_llama, out = benchmark_module("tiny_llama"), tmp_path_factory.mktemp("hybrids")
    for kind, n_layers in (("granitehybrid", 2), ("nemotron_h_moe", 6)):
        tiny = tiny_llama.Tiny("t", 3, 64, 96, n_layers, 4, 2, 32, 323, 1e6, False, kind=kind)
        tiny_llama.save(tiny, out / kind)
    return {path.name: path for path in out.iterdir()}


def _changed(folder: Path, target: Path, rename: Callable[[str], str] = str, **stated: Any) -> Path:
    """A copy with other names of tensors, and other keys of config.json."""
    target.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | stated))
    (target / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    tensors = {rename(n): x for n, x in load_file(folder / "model.safetensors").items()}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def _convert(folder: Path, **options: Any) -> Path:
    path = folder.with_suffix(".gguf")
    halfbyte.convert(folder, path, measure=False, name="same", **options)
    return path


def test_both_names_of_a_checkpoint_make_the_same_file(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """NVIDIA's begin with "backbone.", transformers' with "model."."""
    of_nvidia = folders["nemotron_h_moe"]
    other = _changed(of_nvidia, tmp_path / "m", lambda n: n.replace("backbone.", "model.", 1))
    ahead = _changed(of_nvidia, tmp_path / "ahead", num_nextn_predict_layers=1)
    tensors = load_file(ahead / "model.safetensors")
    tensors["mtp.layers.0.eh_proj.weight"] = np.ones((64, 128), np.float32)
    save_file(tensors, ahead / "model.safetensors", metadata={"format": "pt"})
    made = [_convert(folder, type="f32").read_bytes() for folder in (other, ahead)]
    path = tmp_path / "same.gguf"
    halfbyte.convert(of_nvidia, path, type="f32", measure=False, name="same")
    assert made[0] == made[1] == path.read_bytes()


def test_a_calibrated_file_keeps_what_is_no_matrix(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder, text = folders["nemotron_h_moe"], tmp_path / "text.py"
    text.write_text("".join(f"a{i} = {i} * b\n" for i in range(60)))
    path = tmp_path / "m.gguf"
    halfbyte.convert(folder, path, type="q4_0", measure=False, calibrate=text)
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    stored = load_file(folder / "model.safetensors")
    at = "backbone.layers.0.mixer."
    for name, values in (
        ("ssm_conv1d.weight", stored[at + "conv1d.weight"][:, 0]),
        ("ssm_d", stored[at + "D"][:, None]),
        ("ssm_a", -np.exp(stored[at + "A_log"].astype(np.float64))[:, None].astype(np.float32)),
        ("ssm_norm.weight", stored[at + "norm.weight"].reshape(3, -1)),
    ):
        assert (tensors[f"blk.0.{name}"].data == values).all()
    assert tensors["blk.0.ssm_in.weight"].tensor_type.name == "Q4_0"
    with halfbyte.load(path, threads=2) as model:
        whole = model.logits(IDS)
        assert (model.logits(IDS[:9]) == whole[:9]).all()


def test_limits_of_steps_in_time_are_kept_and_count(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    limits = [np.float32(0.02), np.float32(0.25)]
    stated = {"time_step_limit": [float(one) for one in limits]}
    paths = [_convert(_changed(folders["granitehybrid"], tmp_path / name, **changes), type="f32")
             for name, changes in (("limited", stated), ("free", {}))]  # fmt: skip
    again = tmp_path / "again.gguf"  # a file that is made of a file says so, too
    halfbyte.convert(paths[0], again, type="q8_0", measure=False)
    for path in (paths[0], again):
        with GGUFFile.open(path) as file:
            assert config_from_gguf(file).recurrent == Mamba2(8, 16, 24, 2, 4, tuple(limits))
    with halfbyte.load(paths[0], threads=1) as a, halfbyte.load(paths[1], threads=1) as b:
        assert np.abs(a.logits(IDS) - b.logits(IDS)).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "stated", "fault"),
    [
        ("granitehybrid", {"layer_types": ["attention", "mamba"]},
         r"missing model\.layers\.0\.self_attn\.q_proj\.weight.*unknown model\.layers\.0\.mamba"),
        ("granitehybrid", {"mamba_d_conv": 3}, r"conv1d\.weight is \(224, 1, 4\), not \(224, 3\)"),
        ("nemotron_h_moe", {"hybrid_override_pattern": "ME*E-M"}, r"missing model\.layers\.4"),
        ("nemotron_h_moe", {"n_groups": 2}, r"in_proj\.weight is"),
        ("nemotron_h_moe", {"n_groups": 4}, "n_groups: expected a divisor of the 6 heads"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_contradicts_itself_is_one_error(
    folders: dict[str, Path], tmp_path: Path, kind: str, stated: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConversionError, match=fault):
        _convert(_changed(folders[kind], tmp_path / "bad", **stated), type="f32")


def test_a_file_that_contradicts_itself_is_one_error(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    good = tmp_path / "good.gguf"
    halfbyte.convert(folders["granitehybrid"], good, type="f32", measure=False)
    reader = gguf.GGUFReader(good)
    field = reader.fields["granitehybrid.attention.head_count_kv"]
    kinds = [int(reader.fields[field.name].parts[i][0]) for i in field.data]
    assert kinds == [0, 2]
    data = bytearray(good.read_bytes())
    for i, value in zip(field.data, (2, 0), strict=True):
        part = field.parts[i]
        at = part.ctypes.data - reader.data.ctypes.data
        data[at : at + part.nbytes] = np.array([value], part.dtype).tobytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_q\.weight.*none of these"):
        halfbyte.load(bad)
