"""A small vocabulary with Code Llama's infilling pieces, and sentencepiece's own answers on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.hf.auto_model import AutoModelForCausalLM, CausalLM
from halfbyte.hf.tokenizer import CodeLlamaTokenizer

GOLDEN_FILE = Path(__file__).parents[2] / "data" / "golden_generation.json"
INFILL = ["▁<SU", "▁<SUF", "▁<PRE", "▁<M", "▁<MID", "▁<E", "▁<EOT"]
MARKERS = ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", *("▁<EOT>" + "<EOT>" * n for n in range(1, 6))]
# Pieces that the markers are merged from; scores above all others make them certain.
HELPERS = ["▁<", "PRE", "PR", "EOT", "EO"]


@pytest.fixture(scope="session")
def llama_file(vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model with Llama's settings: 500 pieces, none for infilling."""
    return Path(vocabularies.train_sentencepiece(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="session")
def model(vocabularies: Any, llama_file: Path) -> Any:
    """The same with Code Llama's infilling pieces at its end, as protobuf."""
    grown = vocabularies.read_model(llama_file)
    known = {piece.piece for piece in grown.pieces}
    for i, piece in enumerate(HELPERS):
        if piece not in known:
            grown.pieces.add(piece=piece, score=100.0 - i, type=1)
    for pieces, score in ((INFILL, -1e9), (MARKERS, -1e18)):
        for piece in pieces:
            grown.pieces.add(piece=piece, score=score, type=1)
    return grown


@pytest.fixture(scope="session")
def file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That vocabulary as a tokenizer.model."""
    path = tmp_path_factory.mktemp("code_llama") / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def cut(vocabularies: Any, model: Any) -> Callable[[str], list[int]]:
    """Sentencepiece itself, which puts no space before a text."""
    processor = vocabularies.processor(model, dummy_prefix=False)
    return lambda text: list(processor.encode(text))


@pytest.fixture(scope="session")
def ids(model: Any) -> dict[str, int]:
    """The id of every piece."""
    return {piece.piece: i for i, piece in enumerate(model.pieces)}


@pytest.fixture
def tokenizer(file: Path) -> CodeLlamaTokenizer:
    """A new tokenizer, which a test may change."""
    return CodeLlamaTokenizer(file, pad_token="</s>")


def _same(a: CodeLlamaTokenizer, b: CodeLlamaTokenizer) -> None:
    texts = ["a b", "x<FILL_ME>y", "<A>é</s><pad>", " <PRE>", "", "z<FILL_ME>", "a <EOT>"]
    for text in texts:
        assert a.encode(text) == b.encode(text)
        assert a.decode(a.encode(text)) == b.decode(b.encode(text))
    names = ("special_tokens_map", "padding_side", "truncation_side", "model_max_length",
             "fill_token", "suffix_first", "chat_template", "added_tokens_encoder",
             "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces", "prefix_id",
             "empty_suffix_infills", "vocab_size", "split_special_tokens",
             "model_input_names")  # fmt: skip
    for name in names:
        assert getattr(a, name) == getattr(b, name), name
    assert len(a) == len(b)


@pytest.fixture(scope="session")
def same() -> Callable[[CodeLlamaTokenizer, CodeLlamaTokenizer], None]:
    """Asserts that two tokenizers do the same."""
    return _same


@pytest.fixture(scope="session")
def tiny(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Iterator[CausalLM]:
    """The model that transformers was asked about, in float32."""
    asked = json.loads(GOLDEN_FILE.read_text("utf-8"))
    tiny_llama = benchmark_module("tiny_llama")
    folder = tmp_path_factory.mktemp("generation")
    tiny_llama.save(tiny_llama.Tiny(**asked["tiny"]), folder / "hf")
    halfbyte.convert(folder / "hf", folder / "f32.gguf", type="f32", measure=False)
    with AutoModelForCausalLM.from_pretrained(folder / "f32.gguf", kv_type="f32") as model:
        yield model
