"""Figures in a file's metadata: reserved, filled in place, read back; the checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.converting.sources.source import open_source
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.distance import Distance, Quality
from halfbyte.quality.figures import (
    N_GOLDEN,
    NO_HASH,
    NO_TOKEN,
    Figures,
    measured_figures,
    patch,
    read_figures,
    reserve,
    source_sha256,
    tensors_sha256,
    tokenizer_sha256,
)
from halfbyte.quality.texts import packaged_text
from halfbyte.tokenizer.vocabulary import Vocabulary

NAMES = ("a", "b", "c")
FIGURES = Figures(
    source_sha256="1" * 64, tokenizer_sha256="2" * 64, tensors_sha256="3" * 64,
    text_sha256="4" * 64, n_positions=100, kl_mean=0.25, kl_p99=0.5, top1=0.75, perplexity=8.0,
    perplexity_source=7.5, tensor_errors=(0.0, 0.125, 0.5),
    golden_tokens=tuple(range(N_GOLDEN)), golden_margin=0.0625,
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with blanks between other keys, and three tensors."""
    out = tmp_path / "x.gguf"
    meta = gguf.GGUFWriter(out, "llama")
    reserve(meta, len(NAMES))
    meta.add_string("general.description", "behind the blanks")
    for i, name in enumerate(NAMES):
        meta.add_tensor(name, np.full((2, 32), i, np.float32))
    meta.write_header_to_file()
    meta.write_kv_data_to_file()
    meta.write_tensors_to_file()
    meta.close()
    return out


def read(path: Path) -> Figures | None:
    with GGUFFile.open(path) as file:
        return read_figures(file.metadata)


def test_blanks_say_that_nothing_was_measured(path: Path) -> None:
    blank = read(path)
    assert blank is not None
    assert blank.tensors_sha256 == NO_HASH and blank.golden_tokens == (NO_TOKEN,) * N_GOLDEN
    assert math.isnan(blank.kl_mean) and len(blank.tensor_errors) == 3


def test_patched_figures_are_read_back_and_nothing_else_changes(path: Path) -> None:
    before = path.read_bytes()
    patch(path, FIGURES)
    after = path.read_bytes()
    assert read(path) == FIGURES and len(after) == len(before)
    patch(path, dataclasses.replace(FIGURES, tensor_errors=(float("nan"),) * 3))
    fields = gguf.GGUFReader(path).fields
    assert fields["halfbyte.quality.kl_mean"].contents() == 0.25
    assert fields["halfbyte.golden.tokens"].contents() == list(range(N_GOLDEN))
    assert fields["halfbyte.tensors.sha256"].contents() == "3" * 64
    assert fields["general.description"].contents() == "behind the blanks"
    blank = Figures(tensor_errors=(float("nan"),) * 3)
    patch(path, blank)
    assert path.read_bytes() == before


def test_what_was_not_reserved_cannot_be_patched(path: Path, tiny_gguf: Path) -> None:
    with pytest.raises(ConversionError, match="tensor_errors"):
        patch(path, dataclasses.replace(FIGURES, tensor_errors=(0.5,)))
    with pytest.raises(ConversionError, match="reserved"):
        patch(tiny_gguf, FIGURES)
    bare = path.with_name("bare.gguf")
    bare.write_bytes(path.read_bytes().replace(b"halfbyte.", b"elsewise."))
    assert read(bare) is None


def test_incomplete_figures_are_an_error(tmp_path: Path) -> None:
    meta = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    meta.add_string("halfbyte.tensors.sha256", NO_HASH)
    meta.write_header_to_file()
    meta.write_kv_data_to_file()
    meta.write_tensors_to_file()
    meta.close()
    with pytest.raises(ModelFileError, match=r"halfbyte\.tokenizer\.sha256"):
        read(tmp_path / "x.gguf")


def test_quality_becomes_figures() -> None:
    kl = np.array([[0.1, 0.3]])
    found = Distance(np.array([[1, 2]]), kl, np.array([[5, 6]]), np.array([[5, 7]]),
                     np.array([[np.log(2)]]), np.array([[np.log(3)]]))  # fmt: skip
    quality = Quality(found, {"a": 0.5, "c": 0.25})
    figures = Figures().with_quality(quality, "text", ["c", "b", "a"])
    assert figures.n_positions == 2 and figures.kl_mean == pytest.approx(0.2)
    assert figures.top1 == 0.5 and figures.perplexity_source == pytest.approx(2)
    assert figures.perplexity == pytest.approx(3)
    assert figures.tensor_errors[::2] == (0.25, 0.5) and math.isnan(figures.tensor_errors[1])
    assert figures.text_sha256 == hashlib.sha256(b"text").hexdigest()


def test_all_figures_of_a_file_but_the_golden_ones(tiny_folder: Path, tiny_gguf: Path) -> None:
    with GGUFFile.open(tiny_gguf) as file:
        figures = measured_figures(
            file, open_source(tiny_folder).layers(), source_sha256="5" * 64, max_windows=2
        )
        assert figures.tensors_sha256 == tensors_sha256(file)
        vocabulary = Vocabulary.from_metadata(file.metadata)
        n_ctx = file.metadata.get_int("llama.context_length")
        names = list(file.tensors)
    assert figures.source_sha256 == "5" * 64
    assert figures.tokenizer_sha256 == tokenizer_sha256(vocabulary)
    assert figures.text_sha256 == hashlib.sha256(packaged_text("heldout").encode()).hexdigest()
    assert figures.n_positions == 2 * min(512, n_ctx)
    assert 0 < figures.kl_mean < figures.kl_p99 < 0.01
    assert len(figures.tensor_errors) == len(names)
    zero = [name for name, e in zip(names, figures.tensor_errors, strict=True) if e == 0]
    assert zero == [name for name in names if "norm" in name]
    assert figures.golden_tokens == (NO_TOKEN,) * N_GOLDEN


def test_the_tensors_checksum_sees_every_byte(path: Path) -> None:
    def checksum() -> str:
        with GGUFFile.open(path) as file:
            return tensors_sha256(file)

    digest = hashlib.sha256()
    for i, name in enumerate(NAMES):
        digest.update(f"{name} F32 (2, 32)\n".encode() + np.full(64, i, "<f4").tobytes())
    assert checksum() == digest.hexdigest()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert checksum() != digest.hexdigest()


def test_the_tokenizers_checksum_sees_all_that_matters() -> None:
    plain = Vocabulary("x", "llama", [b"a", b"bc"], [1, 1], [0.0, -1.0], special={"bos": 0})
    changes = {
        "pieces": [b"ab", b"c"], "types": [1, 3], "scores": [0.0, -2.0], "merges": [b"a b"],
        "special": {"bos": 1}, "add_bos": False, "add_space_prefix": False, "model": "gpt2",
        "pre": "llama-bpe", "remove_extra_whitespaces": True, "normalization_rule": "nfkc",
        "spacing": "first", "added": (1,), "normalizer": "null", "ignore_merges": False,
        "flags": {"lstrip": (1,)},
    }  # fmt: skip
    variants = [dataclasses.replace(plain, **{name: value}) for name, value in changes.items()]  # type: ignore[arg-type]
    assert len({tokenizer_sha256(v) for v in (plain, *variants)}) == len(changes) + 1
    other_path = dataclasses.replace(plain, path="y", chat_template="z")
    assert tokenizer_sha256(other_path) == tokenizer_sha256(plain)


def test_the_sources_checksum_is_of_names_and_contents(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    lines = [f"{p.name}\0{hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in (a, b)]
    assert source_sha256([b, a]) == hashlib.sha256("".join(lines).encode()).hexdigest()
    b.write_bytes(b"3")
    assert source_sha256([b, a]) != hashlib.sha256("".join(lines).encode()).hexdigest()
