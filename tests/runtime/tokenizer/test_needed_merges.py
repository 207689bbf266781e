"""A model of what a text needs against the whole one of the `tokenizers` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.bpe import ByteLevelBackend
from halfbyte.tokenizer.needed_merges import needed_for
from halfbyte.tokenizer.vocabulary import USER_DEFINED

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.text("def (x):\n return", min_size=1, max_size=60),
)


def test_parts_of_the_text_and_no_others() -> None:
    pieces = Strings.of([b"a", b"b", b"ab", b"ba", b"abc", b"bcb", b"c", b"cab", b""])
    merges = Strings.of([b"a b", b"b a", b"ab c", b"c a", b"x y", b"a bc"])
    assert needed_for(b"abc", pieces, merges) == (
        [0, 1, 2, 4, 6, 8], [b"a b", b"ab c", b"a bc"]
    )  # fmt: skip
    assert needed_for(b"b", pieces, merges) == ([1, 8], [])


@pytest.fixture(scope="module", params=["smollm", "llama-bpe"])
def made(request: pytest.FixtureRequest, vocabularies: Any) -> Any:
    """A vocabulary; Llama 3's keeps words that are pieces whole."""
    return vocabularies.train_byte_level(request.param, ("<|endoftext|>", "<|im_end|>"), 600)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_first_texts_become_the_same_ids(
    tmp_path_factory: pytest.TempPathFactory, made: Any, text: str
) -> None:
    path = tmp_path_factory.mktemp("bpe") / "m.gguf"
    made.write(path)
    Tokenizer.from_path(path)  # the vocabulary is known to be sound from here on
    tokenizer = Tokenizer.from_path(path)
    expected = made.tokenizer(parses=False).encode(text, add_special_tokens=False).ids
    for _ in range(6):  # the last ones by the whole model
        assert tokenizer.encode_fragment(text) == expected
        tokenizer._backend._known.__init__()  # type: ignore[misc]


def test_of_a_piece_that_is_there_twice_the_first_is_taken(
    tmp_path: Path, vocabularies: Any
) -> None:
    """Spelled as a byte's letter, and as an added token that is the text of that letter."""
    made = vocabularies.train_byte_level("smollm", ("\u00e9",))
    path = made.write(tmp_path / "m.gguf", special_type=USER_DEFINED)
    Tokenizer.from_path(path)
    tokenizer, text = Tokenizer.from_path(path), "n\u00e9"
    first = tokenizer.encode_fragment(text)
    assert tokenizer.id_of("\u00e9") in first
    assert isinstance(tokenizer._backend, ByteLevelBackend)
    assert "_plain" not in vars(tokenizer._backend)
    whole = tokenizer._backend._plain.encode(text, add_special_tokens=False).ids
    assert first == whole
