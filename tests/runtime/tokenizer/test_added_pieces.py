"""Added tokens of several files: which wins, and where they may lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.tokenizer import Tokenizer


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.model").write_bytes(trained.read_bytes())
    return tmp_path


def state(folder: Path, config: Any = None, added: Any = None) -> Path:
    for name, value in (("tokenizer_config", config), ("added_tokens", added)):
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def decoder(i: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"added_tokens_decoder": {str(i): {"content": content, **more}}}


def test_a_tokens_flags_are_the_configurations(vocabularies: Any, tmp_path: Path) -> None:
    """As with transformers, where the two files list one token."""
    made = vocabularies.train_byte_level("gpt-2", ("<|a|>",), 300)
    theirs = made.tokenizer(parses=True)
    theirs.save(str(tmp_path / "tokenizer.json"))
    i = made.id_of("<|a|>")
    state(tmp_path, decoder(i, "<|a|>", lstrip=True, special=True))
    for tokenizer in (Tokenizer.from_path(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        arguments = {"parse_markers": True} if isinstance(tokenizer, Tokenizer) else {}
        ids = tokenizer.encode("x  <|a|>y", **arguments)
        assert ids == [*theirs.encode("x").ids, i, *theirs.encode("y").ids]
    assert Tokenizer.from_path(tmp_path).vocabulary.flags == {"lstrip": (i,)}


def test_whitespace_beside_special_tokens_of_a_chat(folder: Path) -> None:
    """Phi-3's markers take the newline after them, in its template's text too."""
    state(folder, {"added_tokens_decoder": {
        "500": {"content": "<|user|>", "rstrip": True}, "501": {"content": "<|w|>",
                                                                "single_word": True},
        "502": {"content": "<|left|>", "lstrip": True},
    }})  # fmt: skip
    tokenizer = Tokenizer.from_path(folder)

    def text(part: str) -> list[int]:
        return tokenizer.encode(part, add_bos=False)

    assert tokenizer.encode_rendered("<|user|> \n def") == [500, *text("def")]
    assert tokenizer.encode_rendered("a \n<|left|> b") == [*text("a"), 502, *text(" b")]
    assert tokenizer.encode_rendered("a<|w|>") == text("a<|w|>")
    assert tokenizer.encode_rendered("a <|w|>.") == [*text("a "), 501, *text(".")]
    assert tokenizer.encode_rendered("<|user|>  <|left|>x") == [500, 502, *text("x")]


@pytest.mark.parametrize(
    ("config", "added", "name"),
    [
        (decoder(500, "<x>"), {"<y>": 500}, "added token 500"),
        (decoder(500, "<x>"), {"<x>": 501}, "added token '<x>'"),
        (decoder(501, "<x>"), None, "added token '<x>'"),
        (decoder("x", "<x>"), None, "added_tokens_decoder: id"),
        (decoder("-1", "<x>"), None, "added_tokens_decoder: id"),
        (decoder(500, 5), None, "added_tokens_decoder"),
        (decoder(500, "<x>", rstrip="no"), None, "added_tokens_decoder: rstrip"),
        ({"added_tokens_decoder": [5]}, None, "added_tokens_decoder"),
        (None, {"<x>": 1.5}, "'<x>': id"),
        (None, {"<x>": 2**80}, "'<x>': id"),
        (None, {"<x>": None}, "'<x>': id"),
        (decoder(3, "<x>"), None, "added tokens"),  # a byte's piece
        (decoder(0, "<x>"), None, "added tokens"),  # the unknown one
    ],
)
def test_tokens_that_cannot_be(folder: Path, config: Any, added: Any, name: str) -> None:
    with pytest.raises(ConversionError, match=f"{name}.*: expected"):
        Tokenizer.from_path(state(folder, config, added))


def test_a_token_in_the_place_of_a_piece(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Code Llama 70B's <step> has the id of a piece that no text becomes; others need theirs."""
    plain = Tokenizer.from_path(folder)
    pieces = [piece.decode() for piece in plain.vocabulary.pieces]
    needed = next(p for p in pieces if len(p) == 2 and any(p + end in pieces for end in "abcdet"))
    with pytest.raises(ConversionError, match=f"has the id of '{needed}', {pieces.index(needed)}"):
        Tokenizer.from_path(state(folder, decoder(pieces.index(needed), "<step>")))
    longest = max(pieces[259:], key=len)
    i = pieces.index(longest)
    tokenizer = Tokenizer.from_path(state(folder, decoder(i, "<step>")))
    assert tokenizer.id_of("<step>") == i and repr(longest) in caplog.text
    assert tokenizer.encode_rendered("<step>") == [i]


@pytest.mark.parametrize("legacy", [None, True, False])
def test_the_space_after_special_tokens(folder: Path, legacy: bool | None) -> None:
    """As transformers' `legacy` says, or where there is a tokenizer.json, as that does."""
    state(folder, {"legacy": legacy})
    tokenizer = Tokenizer.from_path(folder)
    first, again = tokenizer.encode("def", add_bos=False), tokenizer.encode_fragment("def")
    assert first != again
    for_each = [1, *first, 2, *first]
    assert tokenizer.encode_rendered("def</s>def") == [*first, 2, *(first, again)[legacy is False]]
    assert tokenizer.encode_rendered("<s>def</s>def") == (
        [1, *again, 2, *again] if legacy is False else for_each
    )
    scheme = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    (folder / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": scheme}))
    assert Tokenizer.from_path(folder).encode_rendered("<s>def</s>def") == for_each
    (folder / "tokenizer.json").write_text(
        json.dumps({"pre_tokenizer": scheme | {"prepend_scheme": "first"}})
    )
    assert Tokenizer.from_path(folder).encode_rendered("<s>def</s>def")[2:] != for_each[2:]
