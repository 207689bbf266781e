"""Vocabularies for tests: written with the gguf package, and the tokenizers that made them.

Nothing here uses halfbyte: what these tokenizers say is the answer that it has to give.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HFTokenizer

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ROOT / "runtime" / "data" / "infill-10m.gguf"
SOURCE = Path(__file__).read_text("utf-8")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_gguf(path: Path, fill: Callable[[gguf.GGUFWriter], object]) -> Path:
    """A file with the keys that `fill` writes and a small tensor."""
    writer = gguf.GGUFWriter(path, "llama")
    fill(writer)
    writer.add_tensor("t", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_sentencepiece(writer: gguf.GGUFWriter, model: spm.ModelProto, *, eos: bool = True) -> None:
    """The keys of a sentencepiece vocabulary with Llama's BOS, and EOS unless told otherwise."""
    writer.add_tokenizer_model("llama")
    writer.add_token_list([p.piece.encode() for p in model.pieces])
    writer.add_token_scores([p.score for p in model.pieces])
    writer.add_token_types([p.type for p in model.pieces])
    writer.add_bos_token_id(1)
    if eos:
        writer.add_eos_token_id(2)


def write_sentencepiece(path: Path, model: spm.ModelProto) -> Path:
    """A file with a sentencepiece vocabulary."""
    return write_gguf(path, lambda writer: add_sentencepiece(writer, model))


def read_model(path: Path) -> spm.ModelProto:
    """A tokenizer.model as its parts."""
    return spm.ModelProto.FromString(path.read_bytes())


def processor(
    model: spm.ModelProto, *, dummy_prefix: bool, without: Sequence[str] = ()
) -> sentencepiece.SentencePieceProcessor:
    """Sentencepiece itself; pieces of `without` are control tokens, which no text becomes."""
    copy = spm.ModelProto()
    copy.CopyFrom(model)
    for piece in copy.pieces:
        if piece.piece in without:
            piece.type = CONTROL
    copy.normalizer_spec.add_dummy_prefix = dummy_prefix
    return sentencepiece.SentencePieceProcessor(model_proto=copy.SerializeToString())


def packaged_model() -> spm.ModelProto:
    """The vocabulary of infill-10m as a sentencepiece model."""
    return spm.ModelProto.FromString(_packaged_model())


@cache
def _packaged_model() -> bytes:
    fields = gguf.GGUFReader(PACKAGED).fields
    pieces, scores, types = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores", "token_type")
    )
    model = spm.ModelProto()
    for piece, score, type_id in zip(pieces, scores, types, strict=True):
        model.pieces.add(piece=piece, score=score, type=type_id)
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(pieces)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    return model.SerializeToString()


def train_sentencepiece(folder: Path, n_pieces: int = 500) -> Path:
    """A sentencepiece model with Llama's settings, trained on this file."""
    (folder / "text").write_text(SOURCE * 2, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=n_pieces,
        model_type="bpe", byte_fallback=True, split_digits=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", allow_whitespace_only_pieces=True,
        minloglevel=2,
    )  # fmt: skip
    return folder / "m.model"


def _sequence(*cuts: object) -> object:
    return pre_tokenizers.Sequence(list(cuts))


def _split(pattern: str) -> object:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def _digits_and_words() -> object:
    return _sequence(pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False))


# How the families' own tokenizer files cut text, by GGUF's names.
CUTS: dict[str, Callable[[], object]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(False),
    "smollm": _digits_and_words,
    "starcoder": _digits_and_words,
    "qwen2": lambda: _sequence(
        _split(_WORDS % ""), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ),
    "llama-bpe": lambda: _sequence(
        _split(_WORDS % "{1,3}"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ),
    "deepseek-coder": lambda: _sequence(
        _split(r"[\r\n]"), _split(r"\s?\p{L}+"), _split(r"\s?\p{P}+"),
        _split("[一-龥ࠀ-一가-\ud7ff]+"), pre_tokenizers.Digits(True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ByteLevel:
    """A byte-level BPE tokenizer trained on this file; special tokens come after its pieces."""

    pre: str
    specials: tuple[str, ...]
    state: dict[str, object]

    @property
    def vocab(self) -> list[str]:
        """Pieces by id, the special tokens left out."""
        vocab: dict[str, int] = self.state["model"]["vocab"]  # type: ignore[index]
        return sorted(vocab, key=vocab.__getitem__)

    def id_of(self, special: str) -> int:
        """The id of a special token."""
        return len(self.vocab) + self.specials.index(special)

    def tokenizer(self, *, parses: bool) -> HFTokenizer:
        """The package's tokenizer; it finds special tokens in text where it `parses`."""
        tokenizer = HFTokenizer.from_str(json.dumps(self.state))
        if parses:
            tokenizer.add_special_tokens(
                [AddedToken(text, normalized=False, special=True) for text in self.specials]
            )
        return tokenizer

    def write(
        self,
        path: Path,
        *,
        special_type: int = CONTROL,
        fill: Callable[[gguf.GGUFWriter], object] = lambda writer: None,
        pieces: Sequence[str] = (),
    ) -> Path:
        """As a GGUF vocabulary, with the keys of `fill` and normal `pieces` at the end."""
        vocab, merges = self.vocab, self.state["model"]["merges"]  # type: ignore[index]
        n_special = len(self.specials)

        def keys(writer: gguf.GGUFWriter) -> None:
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(self.pre)
            tokens = [*vocab, *self.specials, *pieces]
            writer.add_token_list([token.encode() for token in tokens])
            types = [NORMAL] * len(vocab) + [special_type] * n_special + [NORMAL] * len(pieces)
            writer.add_token_types(types)
            writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
            fill(writer)

        return write_gguf(path, keys)


def train_byte_level(pre: str, specials: Sequence[str] = (), n_pieces: int = 500) -> ByteLevel:
    """A byte-level vocabulary whose text is cut as `pre` says.

    Its pieces were found in whole lines: only the cuts keep words, digits and spaces apart.
    """
    tokenizer = HFTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_pieces,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = " ".join(str(i * i) for i in range(300))
    tokenizer.train_from_iterator([numbers, *SOURCE.splitlines(keepends=True)], trainer)
    tokenizer.pre_tokenizer = CUTS[pre]()
    state = json.loads(tokenizer.to_str())
    # Llama 3's words that are pieces stay whole, whatever the merges make of them.
    state["model"]["ignore_merges"] = pre == "llama-bpe"
    return ByteLevel(pre, tuple(specials), state)
