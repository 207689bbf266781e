"""Streaming gives the text of all tokens, in whole characters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def byte_ids(tokenizer: Tokenizer, text: bytes) -> list[int]:
    """The ids of single bytes."""
    first = tokenizer.id_of("<0x00>")
    assert first is not None
    return [first + b for b in text]


def decoded(text: bytes) -> str:
    """UTF-8, with U+FFFD for each byte that is none: a look at one character after the other."""
    out, at = "", 0
    while at < len(text):
        for n in (1, 2, 3, 4):
            try:
                out += text[at : at + n].decode()
                at += n
                break
            except UnicodeDecodeError:
                continue
        else:
            out, at = out + "\ufffd", at + 1
    return out


@settings(max_examples=150)
@given(st.lists(st.integers(0, 499), max_size=40))
def test_any_tokens(small_spm: Tokenizer, ids: list[int]) -> None:
    stream = StreamDetokenizer(small_spm)
    text = "".join([*(stream.push(i) for i in ids), stream.flush()])
    assert text == decoded(b"".join(small_spm.token_bytes(i) for i in ids))
    assert text == small_spm.decode(ids, strip_prefix_space=False)
    words = (small_spm.piece(i) for i in ids if small_spm.token_bytes(i))
    has_space = next(words, "").startswith("\u2581")  # and no byte's or the unknown token's
    assert small_spm.decode(ids) == (text.removeprefix(" ") if has_space else text)


@settings(max_examples=150)
@given(TEXTS, TEXTS, st.booleans(), st.data())
def test_text_that_is_shown_already_is_skipped(
    small_spm: Tokenizer,
    small_bpe: tuple[Tokenizer, HFTokenizer],
    shown: str,
    rest: str,
    is_spm: bool,
    data: st.DataObject,
) -> None:
    """However the two are cut into tokens, also across the border between them."""
    tokenizer = small_spm if is_spm else small_bpe[0]
    shown, rest = shown.replace("▁", ""), rest.replace("▁", "")
    text = shown + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    ids: list[int] = []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        part = text[begin:end]
        as_bytes = is_spm and data.draw(st.booleans())
        ids += byte_ids(small_spm, part.encode()) if as_bytes else tokenizer.encode_fragment(part)
    stream = StreamDetokenizer(tokenizer, skip_nbytes=len(shown.encode()))
    left, pieces = len(shown.encode()), []
    for i in ids:
        n = len(tokenizer.token_bytes(i))
        assert stream.skips(i) == (n <= left)
        pieces.append(stream.push(i))
        assert left < n or pieces[-1] == ""
        left = max(0, left - n)
    assert "".join(pieces) == rest and stream.flush() == ""


def test_a_token_across_the_border_is_shown_in_part(small_spm: Tokenizer) -> None:
    n_pieces = 0
    for token in small_spm.text_ids:
        text = small_spm.token_bytes(token)
        for n in range(1, len(text)) if text.isascii() else ():
            stream = StreamDetokenizer(small_spm, skip_nbytes=n)
            assert not stream.skips(token)
            assert (stream.push(token), stream.push(token)) == (text[n:].decode(), text.decode())
            n_pieces += 1
    assert n_pieces > 100


def test_half_characters_wait(small_spm: Tokenizer) -> None:
    stream = StreamDetokenizer(small_spm)
    assert [stream.push(i) for i in byte_ids(small_spm, "€".encode())] == ["", "", "€"]
    assert stream.push(byte_ids(small_spm, b"\xe2")[0]) == ""
    assert stream.flush() == "\ufffd"


def test_what_cannot_become_a_character_waits_no_longer(small_spm: Tokenizer) -> None:
    stream = StreamDetokenizer(small_spm)
    assert [stream.push(i) for i in byte_ids(small_spm, b"\xe2\x82a\xff")] == [
        *("", "", "\ufffd\ufffda", "\ufffd")
    ]


def test_control_tokens_give_nothing_and_skip_nothing(small_spm: Tokenizer) -> None:
    stream = StreamDetokenizer(small_spm, skip_nbytes=1)
    a, b = byte_ids(small_spm, b"ab")
    assert [stream.push(i) for i in (1, a, 2, b)] == ["", "", "", "b"]
