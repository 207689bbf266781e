"""Vocabularies from GGUF alone, against sentencepiece and tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.errors import ModelFileError, RequestError, TokenizerError, UnsupportedModelError
from halfbyte.tokenizer import Tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=200)
@given(TEXTS)
def test_sentencepiece_ids_and_text(
    small_spm: Tokenizer, theirs_spm: SentencePieceProcessor, text: str
) -> None:
    ids = small_spm.encode(text)
    assert ids == ([1, *theirs_spm.encode(text)])
    assert small_spm.encode(text, add_bos=False) == ids[1:]
    if "\u2581" not in text:  # sentencepiece's own sign for a space comes back as one
        assert small_spm.decode(ids) == text


@settings(max_examples=300)
@given(
    st.lists(st.just(1), max_size=2),
    st.lists(st.one_of(st.sampled_from([0, 35, 259]), st.integers(3, 499)), max_size=6),
)
def test_any_ids_are_sentencepieces_text(
    small_spm: Tokenizer, theirs_spm: SentencePieceProcessor, controls: list[int], ids: list[int]
) -> None:
    """The unknown token's space, and the byte 32, are not the one that is put before a text.

    Control tokens come first: between two bytes, sentencepiece makes no character of these.
    """
    assert small_spm.decode(controls + ids) == theirs_spm.decode(controls + ids)


@settings(max_examples=200)
@given(TEXTS)
def test_byte_level_ids_and_text(small_bpe: tuple[Tokenizer, HFTokenizer], text: str) -> None:
    ours, theirs = small_bpe
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False).ids
    assert ours.encode_fragment(text) == ids
    assert ours.decode(ids) == text


@settings(max_examples=100)
@given(TEXTS)
def test_fragments_have_no_space_before_them(
    small_spm: Tokenizer, theirs_spm: SentencePieceProcessor, trained: Path, text: str
) -> None:
    # Meta's way: a symbol that merges with nothing takes the space, and both are cut off.
    begin = len(theirs_spm.encode("☺"))
    assert small_spm.encode_fragment(text) == theirs_spm.encode(f"☺{text}")[begin:]


def test_a_fragment_keeps_its_spaces(small_spm: Tokenizer) -> None:
    assert small_spm.decode(small_spm.encode_fragment("  a"), strip_prefix_space=False) == "  a"
    assert small_spm.decode(small_spm.encode("  a")) == "  a"
    assert small_spm.decode(small_spm.encode("a"), strip_prefix_space=False) == " a"
    assert small_spm.decode(small_spm.encode_fragment("\ta")) == "\ta"
    assert small_spm.decode([1, *small_spm.encode("a", add_bos=False), 2]) == "a"


@pytest.mark.parametrize("wanted", [True, False])
def test_the_file_says_whether_a_space_is_put_first(
    trained: Path, tmp_path: Path, vocabularies: Any, wanted: bool
) -> None:
    model = vocabularies.read_model(trained)

    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, model)
        writer.add_add_space_prefix(wanted)

    tokenizer = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    theirs = vocabularies.processor(model, dummy_prefix=wanted)
    assert tokenizer.adds_space == wanted
    for text in ("return x", "  return", "\n", ""):
        ids = tokenizer.encode(text, add_bos=False)
        assert ids == theirs.encode(text)
        assert tokenizer.decode(ids) == text


def test_control_tokens_are_never_read_from_text(
    small_spm: Tokenizer, small_bpe: tuple[Tokenizer, HFTokenizer]
) -> None:
    for tokenizer, text in ((small_spm, "<s>a</s>"), (small_bpe[0], "<|endoftext|>a<|im_end|>")):
        ids = tokenizer.encode(text, add_bos=False)
        assert all(tokenizer.token_bytes(i) for i in ids)
        assert tokenizer.decode(ids) == text


def test_special_ids_and_ends(
    small_spm: Tokenizer, small_bpe: tuple[Tokenizer, HFTokenizer]
) -> None:
    assert (small_spm.bos_id, small_spm.eos_id, small_spm.eog_ids) == (1, 2, {2})
    assert small_spm.token_bytes(1) == b"" and small_spm.piece(1) == "<s>"
    bpe = small_bpe[0]
    assert bpe.eog_ids == {600, 601} and (bpe.bos_id, bpe.eos_id) == (601, 601)
    assert bpe.encode("a") == bpe.encode("a", add_bos=True)[1:]
    assert small_spm.id_of("</s>") == 2 and small_spm.id_of("no such piece") is None


def test_a_file_can_say_that_no_bos_is_wanted(
    trained: Path, tmp_path: Path, vocabularies: Any
) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, vocabularies.read_model(trained))
        writer.add_add_bos_token(False)

    tokenizer = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    assert tokenizer.encode("a", add_bos=True) == [1, *tokenizer.encode("a")]


def test_a_bos_that_does_not_exist_cannot_be_asked_for(tmp_path: Path, vocabularies: Any) -> None:
    path = vocabularies.train_byte_level("gpt-2", n_pieces=300).write(tmp_path / "m.gguf")
    tokenizer = Tokenizer.from_path(path)
    assert tokenizer.bos_id is None
    with pytest.raises(TokenizerError, match="add_bos=False"):
        tokenizer.encode("a", add_bos=True)


SAME_CUTS = {
    "starcoder": "smollm",
    "refact": "smollm",
    "command-r": "smollm",
    "llama3": "llama-bpe",
}
PRES = ["gpt-2", "smollm", "qwen2", "llama-bpe", "deepseek-coder", *SAME_CUTS]


@pytest.mark.parametrize("pre", PRES)
def test_families_cut_text_as_their_own_files_say(
    tmp_path: Path, vocabularies: Any, pre: str
) -> None:
    made = vocabularies.train_byte_level(SAME_CUTS.get(pre, pre))
    ours = Tokenizer.from_path(replace(made, pre=pre).write(tmp_path / "m.gguf"))
    theirs = made.tokenizer(parses=True)

    @settings(max_examples=60)
    @given(TEXTS | st.text("ab1 2\n\t.'_日é", max_size=40))
    def check(text: str) -> None:
        ids = ours.encode(text)
        assert ids == theirs.encode(text).ids
        assert ours.decode(ids) == text

    check()
    for text in (Path(__file__).read_text("utf-8"), "1234 12 1, 225 2256\n\n\t  x's I'LL"):
        assert ours.encode(text) == theirs.encode(text).ids


def test_llama_3_words_that_are_pieces_stay_whole(tmp_path: Path, vocabularies: Any) -> None:
    """Also where no merges lead to them."""
    made = vocabularies.train_byte_level("llama-bpe")
    path = made.write(tmp_path / "m.gguf", pieces=["Ġzyzzyva"])
    assert Tokenizer.from_path(path).encode("a zyzzyva") == [
        *made.tokenizer(parses=False).encode("a").ids,
        len(made.vocab),
    ]


def test_bytes_that_are_no_text_are_marked_one_by_one(small_spm: Tokenizer) -> None:
    first_byte = small_spm.id_of("<0x00>")
    assert first_byte is not None
    ids = [first_byte + b for b in b"a\xe2\x82b\xff"]
    assert small_spm.decode(ids) == "a\ufffd\ufffdb\ufffd"


def test_lone_surrogates_and_bad_ids(small_spm: Tokenizer) -> None:
    for encode in (small_spm.encode, small_spm.encode_fragment, small_spm.encode_rendered):
        with pytest.raises(TokenizerError, match="surrogate at 2"):
            encode("ab\udc80")
        with pytest.raises(RequestError, match="a str"):
            encode(b"ab")
    for token in (-1, 500):
        for call in (small_spm.token_bytes, small_spm.piece):
            with pytest.raises(TokenizerError, match="0 to 499"):
                call(token)
        with pytest.raises(TokenizerError, match="0 to 499"):
            small_spm.decode([token])


def test_bytes_that_a_vocabulary_lacks_are_an_error(tmp_path: Path, vocabularies: Any) -> None:
    alphabet = vocabularies.train_byte_level("gpt-2", n_pieces=256).vocab
    pieces = ["gone" if piece == "q" else piece for piece in [*alphabet, "ab"]]

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list([piece.encode() for piece in pieces])
        writer.add_token_merges(["a b"])

    tokenizer = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    assert tokenizer.decode(tokenizer.encode("abc")) == "abc"
    with pytest.raises(TokenizerError, match="0x71"):
        tokenizer.encode("aqc")


def test_rendered_text_means_its_special_tokens(
    small_spm: Tokenizer, small_bpe: tuple[Tokenizer, HFTokenizer]
) -> None:
    def alone(text: str) -> list[int]:
        return small_spm.encode(text, add_bos=False)

    got = small_spm.encode_rendered("<s>def f</s><s> x")
    assert got == [1, *alone("def f"), 2, 1, *alone(" x")]
    ours, theirs = small_bpe
    got = ours.encode_rendered("<|im_end|>a <|endoftext|>\n")
    assert got == [601, *theirs.encode("a ").ids, 600, *theirs.encode("\n").ids]
    spans = [(0, 10), (14, 20)]  # of a<|im_end|>|<|im_end|>, but for |> and |<|i
    text = "a<|im_end|>|<|im_end|><|im_end|>"
    got = ours.encode_rendered(text, [(22, 32)])
    assert got == [*theirs.encode(text[:22]).ids, 601]
    assert ours.encode_rendered(text, spans) == theirs.encode(text).ids
    assert ours.encode_rendered(text, []) == theirs.encode(text).ids


def test_of_two_special_tokens_the_longer_one_is_meant(tmp_path: Path, vocabularies: Any) -> None:
    specials = ("<|a|>", "<|a|>b<|c|>", "<|c|>")
    made = vocabularies.train_byte_level("gpt-2", specials)
    tokenizer = Tokenizer.from_path(made.write(tmp_path / "m.gguf"))
    text = "<|c|><|a|>b<|c|><|a|>b"
    expected = made.tokenizer(parses=True).encode(text, add_special_tokens=False).ids
    assert tokenizer.encode_rendered(text) == expected


def test_a_repeated_piece_is_the_first_of_its_ids(tmp_path: Path, vocabularies: Any) -> None:
    made = vocabularies.train_byte_level("gpt-2")
    path = made.write(tmp_path / "m.gguf", pieces=made.vocab[300:310])
    tokenizer = Tokenizer.from_path(path)
    assert tokenizer.id_of(made.vocab[305]) == 305
    text = "".join(made.vocab[300:310]).replace("Ġ", " ")
    assert tokenizer.encode(text) == made.tokenizer(parses=False).encode(text).ids


def drop_byte(model: spm.ModelProto) -> None:
    model.pieces[10].piece = "not a byte"


def repeat_piece(model: spm.ModelProto) -> None:
    model.pieces[400].piece = model.pieces[401].piece


def empty_piece(model: spm.ModelProto) -> None:
    model.pieces[400].piece = ""


def no_unknown(model: spm.ModelProto) -> None:
    model.pieces[0].type = 3


@pytest.mark.parametrize("how", [drop_byte, repeat_piece])
def test_vocabularies_that_cannot_work(
    trained: Path, tmp_path: Path, vocabularies: Any, how: Callable[[spm.ModelProto], None]
) -> None:
    model = vocabularies.read_model(trained)
    how(model)
    path = vocabularies.write_sentencepiece(tmp_path / "bad.gguf", model)
    with pytest.raises(ModelFileError, match=r"tokenizer\.ggml\.tokens"):
        Tokenizer.from_path(path)


def fill_up_with_unknown(model: spm.ModelProto) -> None:
    """As Phi-3's converter did: the unknown token is a control token, EOS is found in text."""
    model.pieces[0].type = 3
    model.pieces[2].type = 4
    for i in range(20):
        model.pieces.add(piece=f"[PAD{i}]", score=-1000.0, type=2)


@pytest.mark.parametrize("how", [empty_piece, no_unknown, fill_up_with_unknown])
def test_vocabularies_that_sentencepiece_takes_only_when_changed(
    trained: Path, tmp_path: Path, vocabularies: Any, how: Callable[[spm.ModelProto], None]
) -> None:
    model = vocabularies.read_model(trained)
    how(model)
    path = vocabularies.write_gguf(
        tmp_path / "odd.gguf",
        # Not the file's word that </s> is EOS, but its text, keeps it out of a text.
        lambda w: vocabularies.add_sentencepiece(w, model, eos=how is not fill_up_with_unknown),
    )
    ours, n = Tokenizer.from_path(path), len(model.pieces)
    if how is empty_piece:  # one that text becomes as little
        model.pieces[400].piece, model.pieces[400].type = "<none>", 3
    for piece in model.pieces:
        piece.type = 2 if piece.piece == "<unk>" else 3 if piece.type in (2, 4) else piece.type
    theirs = vocabularies.processor(model, dummy_prefix=True)
    text = " ".join(vocabularies.SOURCE.split(" ")[:300]) + " <unk>x</s>y [PAD3] \ufdd0 \u2047 日本"
    ids = ours.encode(text, add_bos=False)
    assert ids == theirs.encode(text)
    assert ours.decode(ids) == text and ours.n_vocab == n
    silent = {empty_piece: 400, no_unknown: 0, fill_up_with_unknown: n - 1}[how]
    assert ours.decode([silent, 259]) == ours.decode([259])


@pytest.mark.parametrize(
    ("fill", "error", "text"),
    [
        *(
            (lambda w, name=name: w.add_tokenizer_model(name), UnsupportedModelError, f"got {name}")
            for name in ("bert", "t5", "rwkv", "plamo2", "none", "hybriddna")
        ),
        (lambda w: w.add_tokenizer_model("gpt2"), ModelFileError, "merges"),
        (lambda w: w.add_tokenizer_model("llama"), ModelFileError, "scores"),
        (
            lambda w: (
                w.add_tokenizer_model("gpt2"),
                w.add_token_merges(["a a"]),
                w.add_tokenizer_pre("martian"),
            ),
            UnsupportedModelError,
            "martian",
        ),
        (
            lambda w: (w.add_tokenizer_model("gpt2"), w.add_token_merges(["aa"])),
            ModelFileError,
            "two pieces",
        ),
        (
            lambda w: (w.add_tokenizer_model("gpt2"), w.add_token_merges(["a b"])),
            ModelFileError,
            "pairs of pieces",
        ),
    ],
)
def test_kinds_that_cannot_be_used(
    tmp_path: Path,
    vocabularies: Any,
    fill: Callable[[gguf.GGUFWriter], object],
    error: type[ModelFileError],
    text: str,
) -> None:
    def keys(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list([b"a"])
        fill(writer)

    with pytest.raises(error, match=text):
        Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "bad.gguf", keys))


def test_a_panic_of_the_package_is_an_error(
    small_bpe: tuple[Tokenizer, HFTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        """As the package raises it: its own is made when Rust code fails."""

    class Panicking:
        error: BaseException = PanicException("index out of bounds")

        def encode(self, text: str, add_special_tokens: bool) -> Any:
            raise self.error

    tokenizer, _ = small_bpe
    fake = Panicking()
    monkeypatch.setattr(tokenizer._backend, "_plain", fake)
    with pytest.raises(TokenizerError, match="index out of bounds"):
        tokenizer.encode("abc")
    fake.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode("abc")
    monkeypatch.undo()
    assert tokenizer.encode("abc")
