"""Which vocabularies a model and one that guesses for it may have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from halfbyte.errors import RequestError
from halfbyte.models import catalogue
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.same_ids import check_same_ids
from halfbyte.tokenizer.vocabulary import CONTROL, UNUSED


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return Tokenizer.from_path(catalogue.resolve("infill-10m"))


def changed(own: Tokenizer, n: int, piece: bytes = b"", type_id: int | None = None) -> Tokenizer:
    """With the first n tokens, of which the 300th is another one."""
    v = own.vocabulary
    pieces, types = v.pieces[:n], v.types[:n]
    pieces[300] = piece or pieces[300]
    types[300] = type_id or types[300]
    return Tokenizer(replace(v, pieces=pieces, types=types, scores=v.scores[:n], special={}))


def test_the_same_as_far_as_both_reach_is_the_same(own: Tokenizer) -> None:
    check_same_ids(own, own, "draft")
    check_same_ids(own, changed(own, 5000), "draft")
    check_same_ids(changed(own, 5000), own, "draft")


def test_another_text_of_an_id_is_told(own: Tokenizer) -> None:
    other = changed(own, 6000, piece=b"qzqz")
    with pytest.raises(RequestError, match=r"1 ids differ: 300 is b'qzqz', not b'") as caught:
        check_same_ids(own, other, "draft")
    assert caught.value.param == "draft" and "same family" in caught.value.hint
    with pytest.raises(RequestError, match=r"300 is b''"):
        check_same_ids(own, changed(own, 6000, type_id=CONTROL), "draft")


def test_rows_that_fill_a_vocabulary_up_may_be_anything(own: Tokenizer) -> None:
    filled = changed(own, 6000, piece=b"[PAD300]", type_id=UNUSED)
    check_same_ids(own, filled, "draft")
    check_same_ids(filled, own, "draft")
