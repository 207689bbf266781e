"""Importance against arithmetic by hand, and its files against their layout."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte.converting.calibration.importance import (
    Importance,
    collect_importance,
    load_importance,
    save_importance,
)
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.layer_source import GGUFSource

SMALL = Importance(
    {"blk.0.attn_q.weight": np.array([0.5, 2, 0], np.float32), "b": np.ones(2, np.float32)},
    n_windows=4, n_tokens=8, text="code.txt",
)  # fmt: skip


def fail(writer: gguf.GGUFWriter) -> None:
    writer.close()
    raise OSError(28, "the disk is full")


def test_it_is_the_mean_square_of_the_inputs(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "f32.gguf"
    halfbyte.convert(tiny_folder, path, type="f32", measure=False)
    ids = np.random.default_rng(2).integers(3, 290, (5, 30))
    done: list[tuple[str, int, int]] = []
    with GGUFFile.open(path) as file:
        model = FloatModel(GGUFSource(file, config_from_gguf(file)))
        found = collect_importance(model, ids, progress=lambda *step: done.append(step))
        tensors = {t.name: t.data.astype(np.float64) for t in gguf.GGUFReader(path).tensors}
        logits_inputs: list[np.ndarray] = []
        from halfbyte.quality.float_model import hidden_states

        list(model.logits(hidden_states(model, ids), lambda _, x: logits_inputs.append(x)))
    assert (found.n_windows, found.n_tokens) == (5, 30)
    assert set(found.means) == {
        name for name, t in tensors.items() if t.ndim == 2 and name != "token_embd.weight"
    }
    x = tensors["token_embd.weight"][ids.ravel()]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * tensors["blk.0.attn_norm.weight"]
    for name in ("attn_q", "attn_k", "attn_v"):
        got = found.means[f"blk.0.{name}.weight"]
        np.testing.assert_allclose(got, (x**2).mean(0), rtol=1e-5)
    expected = np.square(np.concatenate(logits_inputs)).mean(0)
    np.testing.assert_allclose(found.means["output.weight"], expected, rtol=1e-5)
    assert found.means["blk.1.ffn_down.weight"].shape == (96,)
    assert done[-1] == ("importance", 2, 2)


@pytest.mark.parametrize("name", ["x.gguf", "x.dat"])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, name: str) -> None:
    save_importance(tmp_path / name, SMALL)
    found = load_importance(tmp_path / name)
    assert found.means.keys() == SMALL.means.keys() and found.text == "code.txt"
    for matrix, mean in SMALL.means.items():
        assert (found.means[matrix] == mean).all()
    assert found.n_windows == 4


def test_files_that_cannot_be_read_or_written(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ModelFileError, match="an importance matrix"):
            load_importance(path)
        with pytest.raises(ModelFileError, match="an importance matrix"):
            halfbyte.convert(tiny_folder, tmp_path / "x.gguf", imatrix=path)
    with pytest.raises(ConversionError, match="to write the file"):
        save_importance(tmp_path / "none" / "x.gguf", SMALL)
    (tmp_path / "old.gguf").write_text("kept")
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", fail)
    with pytest.raises(ConversionError, match=r"old\.gguf.*the disk is full"):
        save_importance(tmp_path / "old.gguf", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["old.gguf"]
    assert (tmp_path / "old.gguf").read_text() == "kept"


def test_saving_replaces_nothing_by_accident(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.dat").write_text("kept")
    for matrix, error in (
        (tmp_path / "mine.dat", "an existing one"),
        (tmp_path / "none" / "x.dat", "a folder to write to"),
        (tmp_path / "out.gguf", "another file than dst"),
    ):
        with pytest.raises(halfbyte.HalfbyteError, match=error):
            halfbyte.convert(
                tiny_folder, tmp_path / "out.gguf", calibrate=True, save_imatrix=matrix
            )
    weights = tiny_folder / "model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(halfbyte.RequestError, match="another file than the source"):
        halfbyte.convert(tiny_folder, tmp_path / "out.gguf", calibrate=True, save_imatrix=weights,
                         force=True)  # fmt: skip
    with pytest.raises(halfbyte.RequestError, match="calibrate"):
        halfbyte.convert(tiny_folder, tmp_path / "out.gguf", calibrate="")
    assert weights.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.dat"]


def test_the_gguf_files_layout(tmp_path: Path) -> None:
    save_importance(tmp_path / "x.gguf", SMALL)
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    values = {key: field.contents() for key, field in reader.fields.items()}
    assert values["general.type"] == "imatrix"
    assert values["imatrix.datasets"] == ["code.txt"]
    assert (values["imatrix.chunk_count"], values["imatrix.chunk_size"]) == (4, 8)
    tensors = {t.name: t for t in reader.tensors}
    sums = tensors["blk.0.attn_q.weight.in_sum2"]
    assert sums.data.tolist() == [[16.0, 64.0, 0.0]] and sums.shape.tolist() == [3, 1]
    assert tensors["blk.0.attn_q.weight.counts"].data.tolist() == [[32.0]]


def test_the_legacy_files_layout(tmp_path: Path) -> None:
    save_importance(tmp_path / "x.dat", SMALL)
    expected = struct.pack("<ii19sii3f", 2, 19, b"blk.0.attn_q.weight", 4, 3, 2.0, 8.0, 0.0)
    expected = expected.replace(b"weight\0", b"weight")
    tail = struct.pack("<i", 1) + b"b" + struct.pack("<ii2f", 4, 2, 4.0, 4.0)
    tail += struct.pack("<ii", 4, 8) + b"code.txt"
    assert (tmp_path / "x.dat").read_bytes() == expected + tail
    # Early versions wrote neither the number of chunks nor the text.
    (tmp_path / "old.dat").write_bytes((expected + tail)[: -4 - 4 - 8])
    assert (load_importance(tmp_path / "old.dat").means["b"] == 1).all()


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    save_importance(tmp_path / "x.dat", SMALL)
    data = (tmp_path / "x.dat").read_bytes()
    end_of_entries = len(data) - 4 - 4 - 8
    for n in range(len(data)):
        if n == end_of_entries:
            continue
        (tmp_path / "cut.dat").write_bytes(data[:n])
        with pytest.raises(ModelFileError):
            load_importance(tmp_path / "cut.dat")


def test_numbers_that_make_no_sense_are_an_error(tmp_path: Path, tiny_gguf: Path) -> None:
    for value in (np.nan, -1.0, np.inf):
        means = {"b": np.array([1, value], np.float32)}
        save_importance(tmp_path / "x.gguf", Importance(means, 1, 1))
        with pytest.raises(ModelFileError, match="finite numbers"):
            load_importance(tmp_path / "x.gguf")
    with pytest.raises(ModelFileError, match="no sums"):
        load_importance(tiny_gguf)


def test_counts_that_make_no_sense_are_an_error(tmp_path: Path) -> None:
    save_importance(tmp_path / "x.dat", SMALL)
    data = (tmp_path / "x.dat").read_bytes()
    at = 4 + 4 + len("blk.0.attn_q.weight")
    (tmp_path / "x.dat").write_bytes(data[:at] + struct.pack("<i", -1) + data[at + 4 :])
    with pytest.raises(ModelFileError, match="calls"):
        load_importance(tmp_path / "x.dat")
    # A signalling NaN, which arithmetic complains of.
    (tmp_path / "x.dat").write_bytes(data[: at + 8] + b"\x01\x00\xa0\x7f" + data[at + 12 :])
    with pytest.raises(ModelFileError, match="finite numbers"):
        load_importance(tmp_path / "x.dat")
    save_importance(tmp_path / "x.gguf", SMALL)
    whole = (tmp_path / "x.gguf").read_bytes()
    count = struct.pack("<f", SMALL.n_windows * SMALL.n_tokens)
    for other in (np.inf, np.nan, 0.0):
        (tmp_path / "x.gguf").write_bytes(whole.replace(count, struct.pack("<f", other)))
        with pytest.raises(ModelFileError, match="one count"):
            load_importance(tmp_path / "x.gguf")
