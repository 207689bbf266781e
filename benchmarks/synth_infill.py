"""Write a GGUF file with an infill vocabulary and random weights, to measure typing with.

    python benchmarks/synth_infill.py 7b FILE.gguf

SmolLM2's vocabulary, four of whose special tokens are spelled as Granite-code's infilling tokens,
so that halfbyte and llama.cpp both infill, suffix first too. Only plain words have rows in the
output matrix, all others are zero: an answer is a text of words that never ends by itself, so both
programs write as many tokens. A 7b file has 3.9 GB.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from synth.floats import floats
from synth.matrices import matrices
from synth.shapes import SHAPES, Shape
from synth.writing import Typed, write_tensors

from halfbyte.gguf.file import GGUFFile
from halfbyte.models import catalogue

N_CTX = 8192
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
# SmolLM2's names of tokens that no text of ours needs, and what they are called here.
RENAMED = {
    "<gh_stars>": "<fim_prefix>", "<issue_start>": "<fim_suffix>",
    "<issue_comment>": "<fim_middle>", "<issue_closed>": "<fim_pad>",
    "<jupyter_start>": "<|file_sep|>", "<jupyter_text>": "<|cursor|>",
}  # fmt: skip
_WORD = re.compile("Ġ[a-z]{3,}")  # Ġ is a space in the spelling of byte-level vocabularies


@dataclass(frozen=True, slots=True)
class Kind:
    """A file: its shape, the type of its matrices and embeddings, and how many tokens it knows."""

    shape: Shape
    type: Type
    embedding: Type
    n_vocab: int


KINDS = {
    "smollm2": Kind(Shape(30, 576, 1536, 9, 3), Type.Q4_1, Type.Q8_0, 49152),
    "7b": Kind(SHAPES["7b"], Type.Q4_0, Type.Q4_0, 32016),
    "tiny": Kind(Shape(2, 64, 128, 2, 2), Type.Q4_0, Type.Q4_0, 4096),
    "tiny-lfm2": Kind(
        Shape(3, 64, 128, 2, 2, head_dim=32, architecture="lfm2", convolutions="cac"),
        Type.Q4_0, Type.Q4_0, 4096,
    ),
}  # fmt: skip


def write(kind: Kind, path: Path) -> None:
    """Write a file. It appears under its name when it is whole."""
    part = path.with_name(path.name + ".part")
    tokens, types, merges = vocabulary(kind.n_vocab)
    writer = gguf.GGUFWriter(part, kind.shape.architecture)
    _add_metadata(writer, kind)
    _add_vocabulary(writer, tokens, types, merges)
    is_no_word = np.array([_WORD.fullmatch(token) is None for token in tokens])

    def silence(name: str, rows: NDArray[np.uint8]) -> None:
        if name == OUTPUT:
            rows[is_no_word] = 0  # a scale of zero: the type has no other bits that matter

    write_tensors(writer, _matrices(kind), floats(kind.shape), silence)
    os.replace(part, path)


def vocabulary(n_vocab: int) -> tuple[list[str], list[int], list[str]]:
    """SmolLM2's first tokens, with the names of RENAMED; their types; the merges among them."""
    with GGUFFile.open(catalogue.resolve("smollm2-135m")) as file:
        told = file.metadata
        tokens, merges = (
            [text.decode() for text in told.get_strings(f"tokenizer.ggml.{name}")]
            for name in ("tokens", "merges")
        )
        types = told.get_numbers("tokenizer.ggml.token_type", floats=False).tolist()
    tokens = [RENAMED.get(token, token) for token in tokens[:n_vocab]]
    known = set(tokens)
    merges = [merge for merge in merges if merge.replace(" ", "") in known]
    return tokens, types[:n_vocab], merges


def _matrices(kind: Kind) -> Iterator[Typed]:
    for name, dims in matrices(kind.shape):
        is_vocabulary = name in (EMBEDDING, OUTPUT)
        of = kind.embedding if is_vocabulary else kind.type
        yield name, (kind.n_vocab, dims[1]) if is_vocabulary else dims, of


def _add_metadata(writer: gguf.GGUFWriter, kind: Kind) -> None:
    shape = kind.shape
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.hidden_dim)
    writer.add_head_count(shape.n_heads)
    if shape.convolutions:
        writer.add_head_count_kv([shape.n_kv_heads * (one == "a") for one in shape.convolutions])
        writer.add_shortconv_l_cache(3)
    else:
        writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e5)
    writer.add_rope_dimension_count(shape.dim // shape.n_heads)
    writer.add_vocab_size(kind.n_vocab)


def _add_vocabulary(
    writer: gguf.GGUFWriter, tokens: list[str], types: list[int], merges: list[str]
) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    for role, text in (("pre", "prefix"), ("suf", "suffix"), ("mid", "middle"), ("pad", "pad")):
        writer.add_uint32(f"tokenizer.ggml.fim_{role}_token_id", tokens.index(f"<fim_{text}>"))


def ensure(name: str, folder: Path) -> Path:
    """The file of a kind, written into `folder` unless it is there."""
    path = folder / f"{name}-infill.gguf"
    if not path.is_file():
        print(f"writing {path}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        write(KINDS[name], path)
    return path


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    write(KINDS[args.kind], args.out)


if __name__ == "__main__":
    main()
