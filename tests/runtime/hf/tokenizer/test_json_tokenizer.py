"""Byte-level tokenizers, from GGUF files and from folders, against the `tokenizers` package."""

from __future__ import annotations

import copy
import json
import pickle
import unicodedata
from pathlib import Path
from typing import Any

import gguf
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, processors

from halfbyte.errors import RequestError, UnsupportedModelError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.hf.errors import TokenIdError
from halfbyte.hf.tokenizer.json_tokenizer import JSONTokenizer
from halfbyte.tokenizer import Tokenizer as Core

SPECIALS = ("<|begin|>", "<|end|>", "<|im_start|>")
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
        st.sampled_from([*SPECIALS, "<|", "def f(x):\n    return 1", "e\u0301", "12345", "don't"]),
    ),
    max_size=5,
).map("".join)
quick = settings(max_examples=100)


@pytest.fixture(scope="module", params=["smollm", "qwen2", "llama-bpe"])
def trained(request: pytest.FixtureRequest, vocabularies: Any) -> Any:
    return vocabularies.train_byte_level(request.param, SPECIALS)


def reference(trained: Any) -> tokenizers.Tokenizer:
    """What the `tokenizers` package makes of it; Qwen's own files compose characters first."""
    theirs: tokenizers.Tokenizer = trained.tokenizer(parses=True)
    if trained.pre == "qwen2":
        theirs.normalizer = normalizers.NFC()
    return theirs


def write_gguf(trained: Any, path: Path, **flags: bool) -> Path:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_bos_token_id(trained.id_of("<|begin|>"))
        writer.add_eos_token_id(trained.id_of("<|end|>"))
        writer.add_chat_template("{{ messages }}")
        for name, value in flags.items():
            getattr(writer, f"add_{name}")(value)

    return Path(trained.write(path, fill=fill))


def write_folder(trained: Any, folder: Path, template: tuple[str, str] | None = None) -> Path:
    """A Hugging Face folder; `template`: what goes around one text and around a pair."""
    theirs = reference(trained)
    if template is not None:
        special = [(text, trained.id_of(text)) for text in SPECIALS]
        steps = processors.TemplateProcessing(*template, special_tokens=special)
        theirs.post_processor = processors.Sequence([processors.ByteLevel(), steps])
    theirs.enable_truncation(5)
    theirs.enable_padding(length=9)
    folder.mkdir(exist_ok=True)
    theirs.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "Qwen2Tokenizer", "bos_token": "<|begin|>", "pad_token": "<|end|>",
              "eos_token": {"content": "<|end|>"}, "unk_token": None, "add_prefix_space": False,
              "additional_special_tokens": ["<|im_start|>"]}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return folder


@quick
@given(text=TEXTS)
def test_byte_level_ids_and_texts(
    trained: Any, tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    theirs = reference(trained)
    for tokenizer in both(trained, tmp_path_factory):
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text).ids
        assert tokenizer.tokenize(text) == theirs.encode(text).tokens
        for skips in (False, True):
            expected = theirs.decode(ids, skip_special_tokens=skips)
            assert tokenizer.decode(ids, skip_special_tokens=skips) == expected
        composed = unicodedata.normalize("NFC", text) if trained.pre == "qwen2" else text
        assert tokenizer.decode(ids) == composed
        assert tokenizer.convert_tokens_to_string(tokenizer.tokenize("def f")) == "def f"


_cache: dict[str, tuple[JSONTokenizer, ...]] = {}


def both(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[JSONTokenizer, ...]:
    """The tokenizer from a GGUF file and from a folder; read once for all examples."""
    if trained.pre not in _cache:
        tmp_path = tmp_path_factory.mktemp(trained.pre)
        paths = write_gguf(trained, tmp_path / "m.gguf"), write_folder(trained, tmp_path / "hf")
        loaded = tuple(AutoTokenizer.from_pretrained(path) for path in paths)
        assert all(type(tokenizer) is JSONTokenizer for tokenizer in loaded)
        _cache[trained.pre] = loaded  # type: ignore[assignment]
    return _cache[trained.pre]


@pytest.mark.parametrize("flag", [False, True])
def test_byte_level_gguf(vocabularies: Any, tmp_path: Path, flag: bool) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    tokenizer = AutoTokenizer.from_pretrained(
        write_gguf(trained, tmp_path / "m.gguf", add_bos_token=flag)
    )
    bos, eos = trained.id_of("<|begin|>"), trained.id_of("<|end|>")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (bos, eos)
    assert tokenizer.chat_template == "{{ messages }}"
    assert tokenizer.additional_special_tokens == ["<|im_start|>"]
    assert len(tokenizer) == tokenizer.vocab_size == len(trained.vocab) + len(SPECIALS)
    plain = trained.tokenizer(parses=True).encode("a b").ids
    assert tokenizer.encode("a b") == [bos] * flag + plain
    assert tokenizer.encode("a", "b").count(bos) == 2 * flag
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    for text in ("a b", "<|im_start|>é 12", "e\u0301"):
        assert again.encode(text) == tokenizer.encode(text) == theirs.encode(text).ids
        pair = theirs.encode(text, "x").ids
        assert again.encode(text, "x") == tokenizer.encode(text, "x") == pair
        assert theirs.encode(text, "x").type_ids == [
            *[0] * len(tokenizer.encode(text)), *[1] * len(tokenizer.encode("x"))
        ]  # fmt: skip
    assert Core.from_path(tmp_path / "saved").vocabulary.pre == "smollm"
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.add_bos_token is flag


@pytest.mark.parametrize(
    ("around", "bos", "eos"),
    [
        (("<|begin|> $A", "<|begin|> $A <|begin|>:1 $B:1"), True, False),
        (("$A <|end|>", "$A <|end|> $B:1 <|end|>:1"), False, True),
        (("<|begin|> $A <|end|>", "<|begin|> $A <|end|> <|begin|>:1 $B:1 <|end|>:1"), True, True),
        (("$A", "$A $B:1"), False, False),
        (None, False, False),
    ],
)
def test_what_a_tokenizer_json_puts_around(
    vocabularies: Any, tmp_path: Path, around: tuple[str, str] | None, bos: bool, eos: bool
) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    folder = write_folder(trained, tmp_path / "hf", around)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.add_bos_token, tokenizer.add_eos_token) == (bos, eos)
    for pair in (("a long text of many tokens",), ("a b", "c"), ("",)):
        expected = theirs.encode(*pair)
        encoding = tokenizer(*pair, return_special_tokens_mask=True, return_token_type_ids=True)
        assert encoding.input_ids == expected.ids
        assert encoding.special_tokens_mask == expected.special_tokens_mask
        assert encoding.token_type_ids == expected.type_ids
        assert tokenizer.encode(*pair, add_special_tokens=False) == (
            theirs.encode(*pair, add_special_tokens=False).ids
        )
    # A switch wins over the file, also in what is saved.
    tokenizer.add_bos_token = not bos
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert saved.encode("a", "b").ids == tokenizer.encode("a", "b") == again.encode("a", "b")
    over = AutoTokenizer.from_pretrained(folder, add_bos_token=not bos)
    assert over.encode("a", "b") == tokenizer.encode("a", "b")


def test_whole_words_before_merges(vocabularies: Any, tmp_path: Path) -> None:
    """As in Llama 3's files: a word that is a piece is that piece, though no merge makes it."""
    for pre, n_tokens in (("llama-bpe", 1), ("qwen2", 4)):
        trained = vocabularies.train_byte_level(pre, SPECIALS)
        path = trained.write(tmp_path / f"{pre}.gguf", pieces=("Ġqqq",))
        assert len(AutoTokenizer.from_pretrained(path).encode(" qqq")) == n_tokens


def test_special_tokens_by_their_type(vocabularies: Any, tmp_path: Path) -> None:
    """A file's control tokens are skipped, user-defined ones are text."""
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    for special_type, text in ((3, "a"), (4, "a<|im_start|>")):
        path = trained.write(tmp_path / f"{special_type}.gguf", special_type=special_type)
        tokenizer = AutoTokenizer.from_pretrained(path)
        ids = tokenizer.encode("a<|im_start|>")
        assert ids[-1] == trained.id_of("<|im_start|>")
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_other_tokens_around_a_text(vocabularies: Any, tmp_path: Path) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    folder = write_folder(trained, tmp_path / "hf", ("<|im_start|> $A", "$A $B:1"))
    with pytest.raises(UnsupportedModelError, match="post_processor"):
        AutoTokenizer.from_pretrained(folder)


def test_a_pair_that_is_surrounded_otherwise(vocabularies: Any, tmp_path: Path) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    around = ("<|begin|> $A", "<|begin|> $A $B:1")
    tokenizer = AutoTokenizer.from_pretrained(write_folder(trained, tmp_path / "hf", around))
    assert tokenizer.encode("a")[0] == trained.id_of("<|begin|>")
    with pytest.raises(UnsupportedModelError, match="post_processor: pair"):
        tokenizer.encode("a", "b")
    tokenizer.add_bos_token = False  # which wins over the file
    assert tokenizer.encode("a", "b") == tokenizer.encode("a") + tokenizer.encode("b")


def test_byte_level_tokens(vocabularies: Any, tmp_path: Path) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    tokenizer = AutoTokenizer.from_pretrained(write_folder(trained, tmp_path / "hf"))
    n = len(trained.vocab)
    assert (tokenizer.vocab_size, len(tokenizer), len(tokenizer.get_vocab())) == (n, n + 3, n + 3)
    assert tokenizer.all_special_ids == [n, n + 1, n + 2]
    assert tokenizer.convert_ids_to_tokens([n, 0])[0] == "<|begin|>"
    # There is no unknown token to fall back on.
    assert tokenizer.convert_tokens_to_ids("no such piece") is None
    assert (
        tokenizer.add_tokens(["<new>"]) == 1 and tokenizer.convert_tokens_to_ids("<new>") == n + 3
    )
    assert tokenizer.add_special_tokens({"pad_token": "<pad>"}) == 1
    ids = tokenizer.encode("a<new>b<pad>")
    assert ids[1] == n + 3 and ids[-1] == n + 4 == tokenizer.pad_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a<new>b"
    split = tokenizer.encode("<|end|>", split_special_tokens=True)
    assert len(split) > 1 and tokenizer.decode(split) == "<|end|>"
    assert tokenizer.encode("<|end|>") == [n + 1]
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for other in (loaded, pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert other.encode("a<new>b<pad>") == ids and len(other) == n + 5
    for bad in (-1, n + 5):
        with pytest.raises(TokenIdError):
            tokenizer.convert_ids_to_tokens(bad)
    with pytest.raises(TokenIdError):
        tokenizer.decode([-1])
    with pytest.raises(RequestError, match="suffix"):
        tokenizer("a", suffix="b")
    with pytest.raises(RequestError, match="no_such"):
        tokenizer.tokenize("a", no_such=1)


def test_added_tokens_that_only_the_configuration_lists(vocabularies: Any, tmp_path: Path) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    folder = write_folder(trained, tmp_path / "hf")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    n = len(trained.vocab) + len(SPECIALS)
    config["added_tokens_decoder"] = {str(n): {"content": "<late>", "special": False}}
    path.write_text(json.dumps(config), "utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.encode("<late>") == [n]
    assert tokenizer.decode([n], skip_special_tokens=True) == "<late>"


def test_saving_the_vocabulary(tmp_path: Path, caplog: Any, vocabularies: Any) -> None:
    trained = vocabularies.train_byte_level("smollm", SPECIALS)
    tokenizer = AutoTokenizer.from_pretrained(write_folder(trained, tmp_path / "hf"))
    assert tokenizer.save_vocabulary(tmp_path / "absent") is None and "absent" in caplog.text
    saved = tokenizer.save_vocabulary(tmp_path, "my")
    assert saved == (str(tmp_path / "my-tokenizer.json"),) and Path(saved[0]).is_file()
