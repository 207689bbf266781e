"""A sentencepiece vocabulary that only a tokenizer.json states: the same ids as from the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as HFTokenizer

from halfbyte import AutoTokenizer, CodeLlamaTokenizer
from halfbyte.converting.gguf_keys import add_vocabulary
from halfbyte.errors import ConversionError
from halfbyte.tokenizer import Tokenizer

REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
NORMALIZER = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
TEXTS = st.text("adef (x):\n\té漢▁\x00", max_size=40) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)


def written_as_json(model: Any) -> dict[str, Any]:
    """What transformers' converter writes: for each piece, best first, the pairs that make it."""
    ids = {piece.piece: i for i, piece in enumerate(model.pieces)}
    scored = sorted(model.pieces, key=lambda piece: -piece.score)
    merges = [
        f"{text[:i]} {text[i:]}"
        for text in (piece.piece for piece in scored)
        for i in range(1, len(text))
        if text[:i] in ids and text[i:] in ids
    ]
    return {
        "added_tokens": [
            {"id": i, "content": text, "special": True, "normalized": False, "single_word": False,
             "lstrip": False, "rstrip": False}
            for i, text in enumerate(["<unk>", "<s>", "</s>"])
        ],
        "normalizer": NORMALIZER, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "vocab": ids, "merges": merges, "byte_fallback": True,
                  "fuse_unk": True, "unk_token": "<unk>"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(trained: Path, vocabularies: Any) -> dict[str, Any]:
    return written_as_json(vocabularies.read_model(trained))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def save(value: Any) -> Path:
        (tmp_path / "tokenizer.json").write_text(json.dumps(value), "utf-8")
        return tmp_path

    return save


@pytest.fixture(scope="module")
def tokenizer(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("json")
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    return Tokenizer.from_path(folder)


@settings(max_examples=200)
@given(TEXTS)
def test_ids(
    tokenizer: Tokenizer, theirs_spm: SentencePieceProcessor, data: dict[str, Any], text: str
) -> None:
    ids = tokenizer.encode(text, add_bos=False)
    assert ids == theirs_spm.encode(text)
    if text:  # the package puts a space before an empty text too
        plain = HFTokenizer.from_str(json.dumps(data | {"added_tokens": []}))
        assert ids == plain.encode(text).ids


def test_the_vocabulary_is_the_models(tokenizer: Tokenizer, small_spm: Tokenizer) -> None:
    ours, theirs = tokenizer.vocabulary, small_spm.vocabulary
    assert (ours.pieces, ours.types) == (theirs.pieces, theirs.types)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.adds_space) == (1, 2, True)


@pytest.mark.parametrize(
    ("normalizer", "cutter", "adds_space"),
    [
        (NORMALIZER, None, True),
        (REPLACE, None, False),
        ({"type": "Sequence", "normalizers": [REPLACE]}, None, False),
        (None, METASPACE, True),
        (None, METASPACE | {"prepend_scheme": "never"}, False),
    ],
)
def test_the_space_before_a_text(
    write: Callable[[Any], Path], data: dict[str, Any], normalizer: Any, cutter: Any,
    adds_space: bool,
) -> None:  # fmt: skip
    changed = data | {"normalizer": normalizer, "pre_tokenizer": cutter}
    tokenizer = Tokenizer.from_path(write(changed))
    assert tokenizer.adds_space == adds_space
    theirs = HFTokenizer.from_str(json.dumps(changed | {"added_tokens": []}))
    assert tokenizer.encode("def x", add_bos=False) == theirs.encode("def x").ids


AT_SPACES = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
             "invert": False}  # fmt: skip
WORDS = ["<u>", "<s>", "def", "<w> ", "<x"]
FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
ADDED = st.lists(
    st.fixed_dictionaries(
        {"content": st.sampled_from(WORDS), "special": st.booleans()}
        | dict.fromkeys(FLAGS, st.booleans())
    ),
    unique_by=lambda token: token["content"],
    max_size=3,
).map(lambda tokens: [_plain_if_special(t, len(tokens)) for t in tokens])


def _plain_if_special(token: dict[str, Any], n: int) -> dict[str, Any]:
    """Special tokens, as <s> is anyway, are looked for first: beside others without flags."""
    is_special = token["special"] and token["content"] == "<u>"
    is_plain = n > 1 and (is_special or token["content"] == "<s>")
    flags = dict.fromkeys(FLAGS[:3], False) if is_plain else {}
    return token | {"special": is_special} | flags


SPACED = st.lists(
    st.sampled_from([*WORDS, "</s>", " ", "  ", "▁", "\n", "<", "a", "é", ".", "return x"]),
    max_size=7,
).map("".join)


@settings(max_examples=40)
@given(
    spaces=st.sampled_from([
        (NORMALIZER, None), (REPLACE, None), (None, METASPACE),
        (None, METASPACE | {"prepend_scheme": "never"}),
        (None, METASPACE | {"prepend_scheme": "always"}), (REPLACE, AT_SPACES),
    ]),
    added=ADDED, texts=st.lists(SPACED, min_size=4, max_size=8),
)  # fmt: skip
@example(  # what one token takes is searched for others that are normalized only then
    spaces=(None, METASPACE),
    added=[
        {"content": text, "special": False, **dict.fromkeys(FLAGS, False), flag: True}
        for text, flag in (("<u>", "lstrip"), ("<w> ", "normalized"))
    ],
    texts=["<w> <u>"],
)
def test_every_accepted_file_gives_the_packages_ids(
    data: dict[str, Any], vocabularies: Any, tmp_path_factory: pytest.TempPathFactory,
    spaces: tuple[Any, Any], added: list[Any], texts: list[str],
) -> None:  # fmt: skip
    vocab: dict[str, int] = data["model"]["vocab"]
    entries, n = [], len(vocab)
    for token in added:
        i = vocab.get(token["content"])
        entries.append({"id": n if i is None else i, **token})
        n += i is None
    drawn = data | {"normalizer": spaces[0], "pre_tokenizer": spaces[1], "added_tokens": entries}
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "tokenizer.json").write_text(json.dumps(drawn), "utf-8")
    try:
        ours = Tokenizer.from_path(folder)
    except ConversionError as error:
        assert error.field.endswith(": normalized") and spaces[0]
        return
    path = vocabularies.write_gguf(
        folder / "m.gguf", lambda writer: add_vocabulary(writer, ours.vocabulary)
    )
    theirs = HFTokenizer.from_str(json.dumps(drawn))
    for tokenizer in (ours, Tokenizer.from_path(path)):
        for text in filter(None, texts):
            assert tokenizer.encode_rendered(text) == theirs.encode(text).ids


@pytest.mark.parametrize("as_list", [True, False])
def test_merges_as_lists_and_as_texts(
    write: Callable[[Any], Path], data: dict[str, Any], tokenizer: Tokenizer, as_list: bool
) -> None:
    merges = [m.split(" ") if as_list else m for m in data["model"]["merges"]]
    other = Tokenizer.from_path(write(data | {"model": data["model"] | {"merges": merges}}))
    assert other.vocabulary.scores == tokenizer.vocabulary.scores


@pytest.mark.parametrize("auto", [AutoTokenizer, CodeLlamaTokenizer])
def test_transformers_names_take_such_a_folder(
    write: Callable[[Any], Path], data: dict[str, Any], trained: Path, auto: Any
) -> None:
    folder = write(data)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CodeLlamaTokenizer"}')
    found, expected = auto.from_pretrained(folder), CodeLlamaTokenizer(trained)
    assert isinstance(found, CodeLlamaTokenizer)
    text = "def f(x): <s> é\n"
    assert found(text) == expected(text)
    assert found.decode(found.encode(text)) == expected.decode(expected.encode(text))
    found.save_vocabulary(folder)
    assert Tokenizer.from_path(folder / "tokenizer.model").encode(text) == (
        Tokenizer.from_path(trained).encode(text)
    )


def _without_a_merge(model: dict[str, Any]) -> None:
    del model["merges"][3]


def _with_pairs_of_a_piece_apart(model: dict[str, Any]) -> None:
    made = ["".join(m.split(" ")) for m in model["merges"]]
    at = next(i for i in range(len(made)) if made[i] == made[i + 1] != made[i + 2])
    merges = model["merges"]
    merges[at + 1], merges[at + 2] = merges[at + 2], merges[at + 1]


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a merge is missing": (_without_a_merge, "merges"),
    "pairs apart": (_with_pairs_of_a_piece_apart, "merges"),
    "no merges": (lambda model: model.update(merges=None), "merges"),
    "merges of numbers": (lambda model: model.update(merges=[1, [2, 3]]), "merges"),
    "a gap": (lambda model: model["vocab"].update({"zz": 9999}), "gaps"),
    "a long piece": (lambda model: model["vocab"].update({"z" * 513: 500}), "at most 512"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_models_are_refused(
    write: Callable[[Any], Path], data: dict[str, Any], name: str
) -> None:
    change, reason = CHANGES[name]
    changed = json.loads(json.dumps(data))
    change(changed["model"])
    with pytest.raises(ConversionError, match=reason):
        Tokenizer.from_path(write(changed))


@pytest.mark.parametrize(
    ("normalizer", "cutter"),
    [
        (None, None),
        ("NFKC", None),
        ({"type": "Sequence", "normalizers": [{"type": "NFKC"}, REPLACE]}, None),
        (None, METASPACE | {"split": True}),
        (NORMALIZER, METASPACE),
        (None, AT_SPACES),
        (None, {"type": "Digits"}),
        (None, 3),
    ],
)
def test_other_spellings_of_spaces_are_refused(
    write: Callable[[Any], Path], data: dict[str, Any], normalizer: Any, cutter: Any
) -> None:
    changed = data | {"normalizer": normalizer, "pre_tokenizer": cutter}
    with pytest.raises(ConversionError, match=r"normalizer: .*tokenizer\.model"):
        Tokenizer.from_path(write(changed))


def test_another_kind_of_model_is_refused(write: Callable[[Any], Path]) -> None:
    folder = write({"model": {"type": "BPE", "vocab": {}}})
    with pytest.raises(ConversionError, match="byte fallback"):
        CodeLlamaTokenizer.from_pretrained(folder)
