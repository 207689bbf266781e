"""An invented vocabulary: control pieces, the 256 bytes, then words."""

from __future__ import annotations

from pathlib import Path

N_BYTE_PIECES = 256


def words(n: int) -> list[str]:
    """The first n invented words, which follow the bytes; U+2581 is a space."""
    letters = "\u2581abcdefghijklmnopqrstuvwxyz"
    every = [*letters, *(a + b for a in letters for b in letters[1:])]
    if not 0 <= n <= len(every):
        raise ValueError(f"a vocabulary of {259 + n}: expected 259 to {259 + len(every)}")
    return every[:n]


def save_tokenizer(vocab_size: int, folder: Path) -> None:
    """Write tokenizer.model: control pieces, the 256 bytes, then invented words."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.normalizer_spec.name = "identity"  # as Llama's
    model.normalizer_spec.remove_extra_whitespaces = False
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = vocab_size
    kind = spm.ModelProto.SentencePiece
    pieces = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    pieces += [(f"<0x{i:02X}>", kind.BYTE) for i in range(N_BYTE_PIECES)]
    pieces += [(word, kind.NORMAL) for word in words(vocab_size - len(pieces))]
    for rank, (piece, piece_kind) in enumerate(pieces):
        score = -float(rank) if piece_kind == kind.NORMAL else 0.0
        model.pieces.add(piece=piece, score=score, type=piece_kind)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
