"""Changes of a sentencepiece model: of its parts, and of the protobuf that carries them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as spm

PIECES = ("", " ", "▁", "▁▁", "a", "<s>", "</s>", "<unk>", "<0x41>", "<0x0a>", "<0xGG>", "\0",
          "e\u0301", "\U0001f600", "\u202e", "<mask>", "▁<PRE>", "x" * 5_000)  # fmt: skip
SCORES = (0.0, -0.0, 1.0, -1e9, 3.4e38, -3.4e38, 1e-45, float("inf"), float("-inf"), float("nan"))
COUNTS = (0, 1, -1, 2, 3, 300, 2**31 - 1, -(2**31))


def lose(model: Any, random: Random) -> None:
    """Pieces lost: one, or a stretch of them."""
    at = random.randrange(len(model.pieces))
    del model.pieces[at : at + random.choice((1, 1, 3, 200))]


def add(model: Any, random: Random) -> None:
    """Pieces put in: doubled ones, odd ones, many."""
    old = random.choice(model.pieces)
    for _ in range(random.choice((1, 1, 5, 3_000))):
        text = random.choice((old.piece, old.piece + "a", *PIECES))
        model.pieces.add(piece=text, score=random.choice((old.score, *SCORES)),
                         type=random.choice((1, 1, old.type, 3, 4, 5, 6)))  # fmt: skip


def spell(model: Any, random: Random) -> None:
    """A piece of another text, or of another's."""
    a, b = random.choice(model.pieces), random.choice(model.pieces)
    if random.random() < 0.3:
        a.piece, b.piece = b.piece, a.piece
    else:
        a.piece = random.choice((b.piece, a.piece[:-1], a.piece + "a", *PIECES))


def score(model: Any, random: Random) -> None:
    """Scores: one, some, or all of them."""
    for _ in range(random.choice((1, 20))):
        piece, other = random.choice(model.pieces), random.choice(model.pieces)
        piece.score = random.choice((other.score, -piece.score, *SCORES))


def kind(model: Any, random: Random) -> None:
    """Types of pieces."""
    for _ in range(random.choice((1, 1, 20))):
        random.choice(model.pieces).type = random.choice((1, 2, 3, 4, 5, 6))


def trainer(model: Any, random: Random) -> None:
    """What is said of the model as a whole."""
    spec = model.trainer_spec
    which = random.randrange(6)
    if which == 0:
        spec.model_type = random.choice((1, 2, 3, 4))
    elif which == 1:
        flags = ("byte_fallback", "treat_whitespace_as_suffix", "split_digits", "split_by_number",
                 "split_by_unicode_script", "allow_whitespace_only_pieces")  # fmt: skip
        name = random.choice(flags)
        setattr(spec, name, not getattr(spec, name))
    elif which == 2:
        setattr(spec, random.choice(("bos_id", "eos_id", "unk_id", "pad_id", "vocab_size")),
                random.choice(COUNTS))  # fmt: skip
    elif which == 3:
        setattr(spec, random.choice(("bos_piece", "eos_piece", "unk_piece", "unk_surface")),
                random.choice(PIECES))  # fmt: skip
    elif which == 4:
        spec.user_defined_symbols.append(random.choice(PIECES))
    else:
        model.ClearField("trainer_spec")


def normalizer(model: Any, random: Random) -> None:
    """How text is changed before it is cut."""
    spec = random.choice((model.normalizer_spec, model.normalizer_spec, model.denormalizer_spec))
    which = random.randrange(4)
    if which == 0:
        name = random.choice(("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"))
        setattr(spec, name, not getattr(spec, name))
    elif which == 1:
        spec.name = random.choice(("identity", "nmt_nfkc", "nfkc", "nfkc_cf", "user_defined", ""))
    elif which == 2:
        spec.precompiled_charsmap = random.choice((b"", bytes(4), random.randbytes(40)))
    else:
        spec.normalization_rule_tsv = random.choice(("", "61\t62", "x"))


ON_PARTS: tuple[Callable[[Any, Random], None], ...] = (
    lose, add, add, spell, spell, score, score, kind, kind, trainer, trainer, normalizer,
    normalizer,
)  # fmt: skip


def varint(n: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes((*out, n))


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def wire(data: bytes, random: Random) -> bytes:
    """Protobuf that no writer makes: texts that are no UTF-8, lengths that lie, groups, repeats."""
    bad = random.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"a\xf4\x90\x80\x80", b""))
    number = random.choice((1, 2, 3, 5, 15, 16, 200, 2**29 - 1))
    added = random.choice((
        _field(1, _field(1, bad)),
        _field(1, _field(1, b"ab") + b"\x15\x00\x00\xc0\x7f" + b"\x18\x63"),
        _field(2, _field(random.choice((1, 30, 45, 46)), bad)),
        _field(3, _field(1, bad) + _field(2, bytes(100))),
        varint(number << 3 | 2) + varint(random.choice((2**31, 2**32, 2**63, 2**64 - 1, 1_000))),
        varint(number << 3 | random.choice((0, 1, 3, 4, 5, 6, 7))) + b"\x00" * 9,
        b"\x0b" * random.choice((10, 200, 50_000)),
        b"\x0a\x00" * random.choice((1, 50_000)),
        _field(number, random.randbytes(50)),
        b"\xff" * 20,
        data[: len(data) // 2],
        data,
    ))  # fmt: skip
    return added + data if random.random() < 0.3 else data + added


def harmless(data: bytes, random: Random) -> bytes:
    """What training used and encoding does not, and fields of nobody."""
    model = spm.ModelProto.FromString(data)
    model.trainer_spec.model_prefix = random.choice(("x", "y" * 900))
    model.trainer_spec.num_threads = random.randrange(99)
    model.trainer_spec.max_sentence_length = random.randrange(99)
    unknown = random.randbytes(random.randrange(40))
    # From 200 on, fields are extensions.
    return bytes(model.SerializeToString()) + _field(1_000, unknown)
