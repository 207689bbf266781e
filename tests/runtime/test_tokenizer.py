"""Vocabularies from GGUF alone, against sentencepiece, tokenizers and Code Llama's golden ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from halfbyte.detokenizer import StreamDetokenizer
from halfbyte.errors import ModelFileError, TokenizerError, UnsupportedModelError
from halfbyte.gguf_file import GGUFFile
from halfbyte.tokenizer import Tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SOURCE = Path(__file__).read_text("utf-8")


def write_gguf(path: Path, fill: Callable[[gguf.GGUFWriter], None]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    fill(writer)
    writer.add_tensor("t", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def load(path: Path) -> Tokenizer:
    with GGUFFile.open(path) as file:
        return Tokenizer.from_gguf(file)


def add_sentencepiece(writer: gguf.GGUFWriter, model: spm.ModelProto) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_token_list([p.piece.encode() for p in model.pieces])
    writer.add_token_scores([p.score for p in model.pieces])
    writer.add_token_types([p.type for p in model.pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def read_model(path: Path) -> spm.ModelProto:
    model = spm.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model with Llama's settings, trained on this file."""
    folder = tmp_path_factory.mktemp("spm")
    (folder / "text").write_text(SOURCE * 2, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=500,
        model_type="bpe", byte_fallback=True, split_digits=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", allow_whitespace_only_pieces=True,
        minloglevel=2,
    )  # fmt: skip
    return folder / "m.model"


@pytest.fixture(scope="module")
def small_spm(trained: Path) -> Tokenizer:
    model = read_model(trained)
    return load(write_gguf(trained.with_name("m.gguf"), lambda w: add_sentencepiece(w, model)))


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, HFTokenizer]:
    """A byte-level BPE vocabulary cut as SmolLM's, and the tokenizer that trained it."""
    theirs = HFTokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    theirs.decoder = decoders.ByteLevel()
    theirs.train_from_iterator(
        [SOURCE],
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<|endoftext|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    state = json.loads(theirs.to_str())
    vocab = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list([piece.encode() for piece in vocab])
        writer.add_token_types([3, 3, *[1] * (len(vocab) - 2)])
        writer.add_token_merges([" ".join(m) for m in state["model"]["merges"]])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(1)

    return load(write_gguf(tmp_path_factory.mktemp("bpe") / "m.gguf", fill)), theirs


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_sentencepiece_ids_and_text(small_spm: Tokenizer, trained: Path, text: str) -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(trained))
    ids = small_spm.encode(text)
    assert ids == ([1, *theirs.encode(text)])
    assert small_spm.encode(text, add_bos=False) == ids[1:]
    if "\u2581" not in text:  # sentencepiece's own sign for a space comes back as one
        assert small_spm.decode(ids) == text


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_byte_level_ids_and_text(bpe: tuple[Tokenizer, HFTokenizer], text: str) -> None:
    ours, theirs = bpe
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids or "<|" in text
    assert ours.decode(ours.encode(text)) == text


def test_control_tokens_are_never_read_from_text(
    small_spm: Tokenizer, bpe: tuple[Tokenizer, HFTokenizer]
) -> None:
    for tokenizer, text in ((small_spm, "<s>a</s>"), (bpe[0], "<|endoftext|>a<|im_end|>")):
        ids = tokenizer.encode(text, add_bos=False)
        assert not any(tokenizer.is_control(i) for i in ids)
        assert tokenizer.decode(ids) == text


def test_special_ids_and_ends(small_spm: Tokenizer, bpe: tuple[Tokenizer, HFTokenizer]) -> None:
    assert (small_spm.bos_id, small_spm.eos_id, small_spm.eog_ids) == (1, 2, {2})
    assert small_spm.token_bytes(1) == b"" and small_spm.piece(1) == "<s>"
    assert bpe[0].eog_ids == {0, 1}
    assert bpe[0].encode("a") == bpe[0].encode("a", add_bos=True)[1:]
    assert small_spm.id_of("</s>") == 2 and small_spm.id_of("no such piece") is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 499), max_size=40))
def test_streaming_is_decoding(small_spm: Tokenizer, ids: list[int]) -> None:
    stream = StreamDetokenizer(small_spm)
    pieces = [stream.push(i) for i in ids]
    text = "".join(pieces) + stream.flush()
    assert text.removeprefix(" ") == small_spm.decode(ids) or not text.startswith(" ")
    assert text == b"".join(small_spm.token_bytes(i) for i in ids).decode(
        errors="halfbyte-byte-by-byte"
    )


def test_half_characters_wait(small_spm: Tokenizer) -> None:
    stream = StreamDetokenizer(small_spm)
    first_byte = small_spm.id_of("<0x00>")
    assert first_byte is not None
    euro = "€".encode()
    assert [stream.push(first_byte + b) for b in euro] == ["", "", "€"]
    assert stream.push(first_byte + euro[0]) == ""
    assert stream.flush() == "\ufffd"


def test_bytes_that_are_no_text_are_marked_one_by_one(small_spm: Tokenizer) -> None:
    first_byte = small_spm.id_of("<0x00>")
    assert first_byte is not None
    ids = [first_byte + b for b in b"a\xe2\x82b\xff"]
    assert small_spm.decode(ids) == "a\ufffd\ufffdb\ufffd"


def test_lone_surrogates_and_bad_ids(small_spm: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="surrogate at 2"):
        small_spm.encode("ab\udc80")
    for token in (-1, 500):
        with pytest.raises(TokenizerError, match="0 to 499"):
            small_spm.decode([token])


def test_code_llama_golden_ids(shared_dir: Path, tmp_path: Path) -> None:
    """Meta's ids, for texts in which no infilling marker is spelled out."""
    model = read_model(shared_dir / "data" / "codellama-tokenizer.model")
    tokenizer = load(write_gguf(tmp_path / "cl.gguf", lambda w: add_sentencepiece(w, model)))
    lines = (shared_dir / "data" / "golden" / "golden_public.jsonl").read_text("utf-8").splitlines()
    checked = 0
    for case in map(json.loads, lines):
        if case["kind"] == "encode" and not case["options"] and isinstance(case["input"], str):
            if case.get("ids_meta") is not None and "<FILL_ME>" not in case["input"]:
                assert tokenizer.encode(case["input"]) == case["ids_meta"], case["id"]
                checked += 1
    assert checked > 60
    assert tokenizer.eog_ids == {2, 32010}


def change(model: spm.ModelProto, how: Callable[[spm.ModelProto], None]) -> spm.ModelProto:
    copy = spm.ModelProto()
    copy.CopyFrom(model)
    how(copy)
    return copy


def drop_byte(model: spm.ModelProto) -> None:
    model.pieces[10].piece = "not a byte"


def repeat_piece(model: spm.ModelProto) -> None:
    model.pieces[400].piece = model.pieces[401].piece


def empty_piece(model: spm.ModelProto) -> None:
    model.pieces[400].piece = ""


def no_unknown(model: spm.ModelProto) -> None:
    model.pieces[0].type = 3


@pytest.mark.parametrize("how", [drop_byte, repeat_piece, empty_piece, no_unknown])
def test_vocabularies_that_cannot_work(
    trained: Path, tmp_path: Path, how: Callable[[spm.ModelProto], None]
) -> None:
    model = change(read_model(trained), how)
    path = write_gguf(tmp_path / "bad.gguf", lambda w: add_sentencepiece(w, model))
    with pytest.raises(ModelFileError, match=r"tokenizer\.ggml\.tokens"):
        load(path)


@pytest.mark.parametrize(
    ("fill", "field"),
    [
        (lambda w: w.add_tokenizer_model("llama"), "tokenizer.ggml.tokens"),
        (lambda w: (w.add_token_list([b"a"]), w.add_token_types([1, 2])), "token_type"),
        (lambda w: (w.add_token_list([b"a"]), w.add_token_types([9])), "token_type"),
        (lambda w: (w.add_token_list([b"a"]), w.add_array("tokenizer.ggml.scores", [1])), "scores"),
        (lambda w: (w.add_token_list([b"a"]), w.add_token_scores([float("nan")])), "scores"),
        (lambda w: w.add_token_list([b"a"]), "tokenizer.ggml.model"),
        (lambda w: (w.add_token_list([b"a"]), w.add_tokenizer_model("llama")), "scores"),
        (lambda w: (w.add_token_list([b"a"]), w.add_tokenizer_model("gpt2")), "merges"),
    ],
)
def test_incomplete_vocabularies_name_the_key(
    tmp_path: Path, fill: Callable[[gguf.GGUFWriter], object], field: str
) -> None:
    path = write_gguf(tmp_path / "bad.gguf", lambda w: fill(w) and None)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert field in caught.value.field


def test_unknown_kinds(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list([b"a"])
        writer.add_tokenizer_model("bert")

    with pytest.raises(UnsupportedModelError, match="llama or gpt2"):
        load(write_gguf(tmp_path / "bad.gguf", fill))


def test_special_ids_out_of_range(trained: Path, tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        add_sentencepiece(writer, read_model(trained))
        writer.add_eot_token_id(500)

    with pytest.raises(ModelFileError, match="eot_token_id"):
        load(write_gguf(tmp_path / "bad.gguf", fill))
