"""Batches: padding, truncation, masks and arrays."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import RequestError
from halfbyte.hf.batch import BatchEncoding
from halfbyte.hf.tokenizer import CodeLlamaTokenizer

TEXTS = st.lists(
    st.sampled_from(["<s>", "</s>", "▁<MID>", " <PRE>", "▁", " ", "\n", "def f(x):", "é", "a"]),
    max_size=6,
).map("".join)
quick = settings(max_examples=100)


@quick
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["left", "right"]), st.booleans())
def test_a_batch_is_its_texts(file: Path, texts: list[str], side: str, marks: bool) -> None:
    tokenizer = CodeLlamaTokenizer(file, padding_side=side, pad_token="<unk>")
    singles = [tokenizer.encode(text) for text in texts]
    assert tokenizer(texts).input_ids == singles
    assert tokenizer(texts).attention_mask == [[1] * len(one) for one in singles]
    options = {"return_special_tokens_mask": marks, "return_token_type_ids": marks}
    padded = tokenizer(texts, padding=True, return_tensors="np", **options)
    assert padded.input_ids.dtype == np.int64
    assert padded.input_ids.shape == (len(texts), max(map(len, singles)))
    for row, mask, one in zip(padded.input_ids, padded.attention_mask, singles, strict=True):
        assert row[mask == 1].tolist() == one and (row[mask == 0] == 0).all()
        n_filled = len(row) - len(one)
        edge = mask[:n_filled] if side == "left" else mask[len(one) :]
        assert not edge.any() and mask.sum() == len(one)
    if marks:
        assert (padded.special_tokens_mask >= 1 - padded.attention_mask).all()
        assert not padded.token_type_ids.any()
    again = tokenizer.pad([tokenizer(text) for text in texts], return_tensors="np")
    assert (again.input_ids == padded.input_ids).all()
    assert (again.attention_mask == padded.attention_mask).all()


def test_padding_to_a_length(tokenizer: CodeLlamaTokenizer) -> None:
    one = tokenizer.encode("a")
    assert tokenizer("a", padding="max_length", max_length=5).input_ids == one + [2] * 3
    assert tokenizer("a", padding="max_length", max_length=1).input_ids == one
    assert tokenizer("a", padding=True).input_ids == one
    assert tokenizer("a", padding=True, pad_to_multiple_of=4).input_ids == one + [2] * 2
    assert tokenizer("a", padding=True, pad_to_multiple_of=2).input_ids == one
    assert tokenizer("a", pad_to_multiple_of=8).input_ids == one
    left = tokenizer("a", padding="max_length", max_length=4, padding_side="left")
    assert left.input_ids == [2, 2, *one] and left.attention_mask == [0, 0, 1, 1]
    tokenizer.model_max_length = 3
    assert tokenizer("a", padding="max_length").input_ids == [*one, 2]
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        tokenizer(["a", "a b"], padding=True)


def test_padding_without_a_length_is_none(
    tokenizer: CodeLlamaTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    assert tokenizer("a", padding="max_length").input_ids == tokenizer.encode("a")
    assert tokenizer("a b c", truncation=True).input_ids == tokenizer.encode("a b c")
    assert len(caplog.records) == 2
    tokenizer("a", padding="max_length", verbose=False)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation(file: Path, side: str, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = CodeLlamaTokenizer(file, truncation_side=side)
    keep: Callable[[list[int], int], list[int]] = (
        (lambda seq, n: seq[:n]) if side == "right" else (lambda seq, n: seq[len(seq) - n :])
    )
    a = tokenizer.encode("a b c d e f", add_special_tokens=False)
    b = tokenizer.encode("g h", add_special_tokens=False)
    assert tokenizer("a b c d e f", truncation=True, max_length=4).input_ids == [1, *keep(a, 3)]
    assert tokenizer("a b c d e f", max_length=4).input_ids == [1, *keep(a, 3)]
    assert any("truncation=True" in record.message for record in caplog.records)
    assert tokenizer("a b c d e f", truncation=False, max_length=4).input_ids == [1, *a]

    def pair(strategy: object, n: int) -> list[int]:
        texts = ("a b c d e f", "g h")
        return list(tokenizer(*texts, truncation=strategy, max_length=n).input_ids)

    n_all = len(a) + len(b) + 2
    assert pair("only_first", n_all - 2) == [1, *keep(a, len(a) - 2), 1, *b]
    assert pair("only_second", n_all - 1) == [1, *a, 1, *keep(b, len(b) - 1)]
    # The longer loses the difference first, then both lose in turn.
    n_more = len(a) - len(b)
    assert pair(True, n_all - n_more) == [1, *keep(a, len(b)), 1, *b]
    both = [1, *keep(a, len(b) - 1), 1, *keep(b, len(b) - 1)]
    assert pair("longest_first", n_all - n_more - 2) == both
    # What cannot lose that much is left whole, and said.
    caplog.clear()
    assert tokenizer("a", truncation=True, max_length=1).input_ids == tokenizer.encode("a")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()
    assert pair("only_second", 3) == [1, *a, 1, *b]
    assert caplog.records[0].levelno == logging.ERROR


def test_lengths(tokenizer: CodeLlamaTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    n = len(tokenizer.encode("a b"))
    assert tokenizer("a b", return_length=True).length == n
    assert tokenizer(["a b", "a"], return_length=True, padding=True).length == [n, 2]
    tokenizer.model_max_length = 2
    assert tokenizer.max_len_single_sentence == 1 and tokenizer.max_len_sentences_pair == 0
    assert len(tokenizer("a b").input_ids) == n
    assert len(tokenizer("a b").input_ids) == n
    assert caplog.text.count(f"{n} tokens") == 1  # said once


def test_pieces_words_and_ids_as_input(tokenizer: CodeLlamaTokenizer) -> None:
    a, b = (tokenizer.encode(text, add_special_tokens=False) for text in ("a", "b"))
    assert tokenizer(["a", "b"], is_split_into_words=True).input_ids == [1, *a, *b]
    rows = tokenizer([["a", "b"], ["b"]], is_split_into_words=True).input_ids
    assert rows == [[1, *a, *b], [1, *b]]
    assert tokenizer.encode(tokenizer.tokenize("a b")) == tokenizer.encode("a b")
    assert tokenizer.encode([7, 8]) == [1, 7, 8]
    prepared = tokenizer.prepare_for_model([7, 8], [9], max_length=4, truncation="only_first")
    assert prepared.input_ids == [1, 7, 1, 9]
    axis = tokenizer.prepare_for_model([7], return_tensors="np", prepend_batch_axis=True)
    assert axis.input_ids.shape == (1, 2)
    assert tokenizer.prepare_for_model([7], return_tensors="np").input_ids.shape == (2,)
    tokenizer.model_input_names = ["input_ids", "token_type_ids"]
    plain = tokenizer("a", "b", add_special_tokens=False)
    assert list(plain) == ["input_ids", "token_type_ids"]
    assert plain.token_type_ids == [0] * (len(a) + len(b))
    assert tokenizer.encode_plus("a", "b").input_ids == [1, *a, 1, *b]
    assert tokenizer.batch_encode_plus(["a", ("a", "b")]).input_ids == [[1, *a], [1, *a, 1, *b]]


def test_encodings_are_mappings_with_attributes(tokenizer: CodeLlamaTokenizer) -> None:
    encoding = tokenizer(["a", "b"])
    assert dict(**encoding) == dict(encoding.items())
    assert list(encoding) == list(encoding.keys()) == ["input_ids", "attention_mask"]
    assert encoding.input_ids is encoding["input_ids"]
    assert encoding[:1] == {k: v[:1] for k, v in encoding.items()}
    assert pickle.loads(pickle.dumps(encoding)) == copy.deepcopy(encoding) == encoding
    assert encoding.is_fast and isinstance(encoding, BatchEncoding)
    with pytest.raises(AttributeError):
        BatchEncoding.__new__(BatchEncoding).anything  # as copying and pickling ask  # noqa: B018
    for name in ("labels", "__nothing__"):
        with pytest.raises(AttributeError, match=name):
            getattr(encoding, name)
    with pytest.raises(KeyError):
        encoding[0]
    only_ids = tokenizer("a", return_attention_mask=False)
    assert list(only_ids) == ["input_ids"]


# Arrays.


def test_numpy_arrays(tokenizer: CodeLlamaTokenizer) -> None:
    one = tokenizer("a", return_tensors="np")
    assert one.input_ids.tolist() == [tokenizer.encode("a")] and one.input_ids.dtype == np.int64
    assert tokenizer.encode("a", return_tensors="np").shape == (1, 2)
    assert tokenizer("", return_tensors="np", add_special_tokens=False).input_ids.shape == (1, 0)
    ragged = tokenizer(["a", "a b"], return_tensors="np").input_ids
    assert ragged.dtype == object
    assert [row.tolist() for row in ragged] == tokenizer(["a", "a b"]).input_ids
    kept = tokenizer.pad({"input_ids": np.array([[1, 5]])}, padding="max_length", max_length=3)
    assert kept.input_ids.tolist() == [[1, 5, 2]] and kept.attention_mask.tolist() == [[1, 1, 0]]


def test_tensors_without_torch(
    tokenizer: CodeLlamaTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RequestError, match=r"return_tensors: expected PyTorch.*'np'"):
        tokenizer("a", return_tensors="pt")


def test_it_stays_on_the_cpu(
    tokenizer: CodeLlamaTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    encoding = tokenizer("a", return_tensors="np")
    assert encoding.to("cpu") is encoding and not caplog.records
    assert encoding.to("cuda") is encoding
    assert "device=cuda has no effect" in caplog.text


def test_torch_tensors(tokenizer: CodeLlamaTokenizer) -> None:
    torch = pytest.importorskip("torch")
    encoding = tokenizer(["a", "a b"], padding=True, return_tensors="pt").to("cpu")
    assert encoding.input_ids.dtype == torch.int64
    assert tokenizer.batch_decode(encoding.input_ids, skip_special_tokens=True) == ["a", "a b"]
    assert tokenizer.decode(encoding.input_ids[0, 1]) == "a"
    rows = [{"input_ids": row} for row in encoding.input_ids]
    assert torch.equal(tokenizer.pad(rows).input_ids, encoding.input_ids)
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["a", "a b"], return_tensors="pt")
