"""A tokenizer.model's settings: sentencepiece's own ids, or a refusal by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from halfbyte.converting.gguf_keys import add_vocabulary
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.hf.tokenizer import LlamaTokenizer
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.sentencepiece_file import charsmap, read_model
from halfbyte.tokenizer.vocabulary import ADDED_KEY, FLAG_KEYS, RULE_KEY, SPACING_KEY

RULES = ("identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf")
TEXTS = st.lists(
    st.sampled_from([" ", "  ", "\t", "\n", "▁", "def", "ﬁ", "ＡＢ", "e\u0301", "\u3000", "\u200b",
                     "x ", " y", "<u>", " <w>", "日本", "É", "\x00", "İ"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    max_size=8,
).map("".join)  # fmt: skip


def changed(model: Any, **values: Any) -> bytes:
    """The model with settings of its normalizer, and user-defined pieces at its end."""
    copy = type(model)()
    copy.CopyFrom(model)
    for name, value in values.items():
        setattr(copy.normalizer_spec, name, value)
    return bytes(copy.SerializeToString())


@settings(max_examples=40)
@given(
    rule=st.sampled_from(RULES), joins=st.booleans(), prefix=st.booleans(),
    user=st.lists(st.sampled_from(["<u>", " <w>", "x ", "▁y", "é"]), unique=True, max_size=3),
    texts=st.lists(TEXTS, min_size=4, max_size=8),
)  # fmt: skip
def test_every_accepted_model_gives_sentencepieces_ids(
    trained: Path, vocabularies: Any, tmp_path_factory: pytest.TempPathFactory, rule: str,
    joins: bool, prefix: bool, user: list[str], texts: list[str],
) -> None:  # fmt: skip
    model = vocabularies.read_model(trained)
    known = {piece.piece for piece in model.pieces}
    for text in user:
        if text not in known:
            model.pieces.add(piece=text, score=0.0, type=4)
    data = changed(
        model, name=rule, precompiled_charsmap=charsmap(rule), remove_extra_whitespaces=joins,
        add_dummy_prefix=prefix,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "tokenizer.model").write_bytes(data)
    theirs = SentencePieceProcessor(model_proto=data)
    ours = Tokenizer.from_path(folder)
    path = vocabularies.write_gguf(
        folder / "m.gguf", lambda writer: add_vocabulary(writer, ours.vocabulary)
    )
    legacy = LlamaTokenizer.from_pretrained(folder, legacy=True)
    for tokenizer in (ours, Tokenizer.from_path(path)):
        for text in texts:
            ids = theirs.encode(text)
            assert tokenizer.encode(text, add_bos=False, parse_markers=True) == ids
            if "<s>" not in text and "</s>" not in text and "<unk>" not in text:
                assert legacy.encode(text, add_special_tokens=False) == ids
    legacy.save_vocabulary(folder, "again")
    assert read_model(folder / "again-tokenizer.model") == read_model(folder / "tokenizer.model")


def _set(part: str, name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(getattr(model, part), name, value)


def _put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model.pieces[300], name, value)


REFUSED: dict[str, Callable[[Any], None]] = {
    "trainer_spec.model_type": _set("trainer_spec", "model_type", 1),
    "trainer_spec.byte_fallback": _set("trainer_spec", "byte_fallback", False),
    "trainer_spec.treat_whitespace_as_suffix": _set(
        "trainer_spec", "treat_whitespace_as_suffix", True
    ),
    "trainer_spec.unk_surface": _set("trainer_spec", "unk_surface", "?"),
    "normalizer_spec.escape_whitespaces": _set("normalizer_spec", "escape_whitespaces", False),
    "normalizer_spec.precompiled_charsmap": _set(
        "normalizer_spec", "precompiled_charsmap", b"\x04\0\0\0\xff\xff\xff\xff"
    ),
    "denormalizer_spec.precompiled_charsmap": _set(
        "denormalizer_spec", "precompiled_charsmap", b"abc"
    ),
    r"pieces\[300\]": _put("piece", ""),
    r"pieces\[300\].score": _put("score", math.nan),
    "pieces": lambda model: model.ClearField("pieces"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_settings_are_refused_by_name(
    trained: Path, vocabularies: Any, tmp_path: Path, name: str
) -> None:
    model = vocabularies.read_model(trained)
    REFUSED[name](model)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match=rf"tokenizer\.model: {name}: expected"):
        Tokenizer.from_path(path)


def test_broken_files(trained: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "tokenizer.model", trained.read_bytes()
    not_utf8 = whole.replace("▁import".encode(), b"\xe2\x96\xff" + b"import", 1)
    assert not_utf8 != whole
    for data in (b"", whole[:1000], b"version https://git-lfs.github.com/spec/v1\n", not_utf8):
        path.write_bytes(data)
        with pytest.raises(ConversionError, match=r"tokenizer\.model: .*expected"):
            Tokenizer.from_path(path)
        with pytest.raises(ConversionError, match=r"tokenizer\.model: .*expected"):
            LlamaTokenizer.from_pretrained(path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (RULE_KEY, "mine", f"{RULE_KEY}: expected identity.*got mine"),
        (SPACING_KEY, "mine", f"{SPACING_KEY}: expected once.*got mine"),
        (ADDED_KEY, [10**6], f"{ADDED_KEY}: expected ids below 500"),
        (FLAG_KEYS["lstrip"], [-1], "lstrip_token_ids: expected ids below 500"),
        (ADDED_KEY, [300], "expected UTF-8 pieces"),
    ],
)
def test_keys_of_our_own_that_cannot_be(
    vocabularies: Any, trained: Path, tmp_path: Path, key: str, value: Any, reason: str
) -> None:
    model = vocabularies.read_model(trained)

    def fill(writer: Any) -> None:
        vocabularies.add_sentencepiece(writer, model)
        pieces = [piece.piece.encode() for piece in model.pieces]
        if value == [300]:
            writer.kv_data[0].pop("tokenizer.ggml.tokens")
            writer.add_token_list([*pieces[:300], b"\xff", *pieces[301:]])
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)

    path = vocabularies.write_gguf(tmp_path / "m.gguf", fill)
    with pytest.raises(ModelFileError, match=reason):
        Tokenizer.from_path(path)
