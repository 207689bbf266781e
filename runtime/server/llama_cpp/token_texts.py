"""Texts and tokens as llama.cpp's endpoints turn one into the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halfbyte.server.fault import refused
from halfbyte.tokenizer import Tokenizer


def ids_of(
    tokenizer: Tokenizer,
    parts: str | Sequence[int | str],
    name: str,
    *,
    add_special: bool,
    parse_special: bool,
) -> list[int]:
    """The ids of a text, or of texts and ids in turn, of which the first begins a text.

    Args:
        tokenizer: whose ids they are.
        parts: the text or the parts.
        name: the field's, for errors.
        add_special: whether BOS stands before a text that begins, where the vocabulary wants it.
        parse_special: whether texts of special tokens are taken for these.

    Raises:
        Fault: an id outside the vocabulary; `param` is `name`.
    """
    mixed = [parts] if isinstance(parts, str) else parts
    found: list[int] = []
    for i, part in enumerate(mixed):
        if isinstance(part, int):
            found += checked_ids(tokenizer, [part], name)
        elif parse_special:
            found += tokenizer.encode_rendered(part, is_start=i == 0, parse_markers=True)
        elif i == 0:
            found += tokenizer.encode(part, add_bos=False)
        else:
            found += tokenizer.encode_fragment(part)
    wants_bos = add_special and tokenizer.add_bos and mixed and isinstance(mixed[0], str)
    if wants_bos and tokenizer.bos_id is not None and found[:1] != [tokenizer.bos_id]:
        found.insert(0, tokenizer.bos_id)
    return found


def checked_ids(tokenizer: Tokenizer, ids: Sequence[int], name: str) -> Sequence[int]:
    """The same.

    Raises:
        Fault: one is outside the vocabulary.
    """
    for one in ids:
        if not 0 <= one < tokenizer.n_vocab:
            raise refused(name, f"ids below {tokenizer.n_vocab}", one)
    return ids


def piece_of(tokenizer: Tokenizer, token: int) -> bytes:
    """What a token spells; of a control token, its name."""
    return tokenizer.token_bytes(token) or tokenizer.piece(token).encode()


def text_of(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """The text of ids with the names of control tokens, a first word's space kept."""
    return b"".join(piece_of(tokenizer, one) for one in ids).decode(errors="replace")


def prompt_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """A text that gives these ids where special tokens in it are meant, if there is one.

    sentencepiece's space before a text that begins is not in it: behind each special token, or
    before the whole alone, as the vocabulary has it.
    """
    is_special = [not tokenizer.token_bytes(one) for one in ids]
    begins = [i for i in range(len(ids)) if i == 0 or is_special[i - 1]]
    text = text_of(tokenizer, ids)
    for places in (begins, [i for i in begins if not any(is_special[1:i])], []):
        pieces = [piece_of(tokenizer, one) for one in ids]
        for i in places if tokenizer.adds_space else ():
            if not is_special[i]:
                pieces[i] = pieces[i].removeprefix(b" ")
        text = b"".join(pieces).decode(errors="replace")
        if tokenizer.encode_rendered(text, parse_markers=True) == list(ids):
            return text
    return text
