"""Errors about one source: gathered, and raised as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.converting.sources.problems import Problems
from halfbyte.errors import ConversionError, ModelFileError, TokenizerError, UnsupportedModelError

PATH = Path("folder/x.gguf")


def test_nothing_is_no_error() -> None:
    problems = Problems(PATH)
    with problems.noted():
        pass
    problems.raise_any()


def test_one_of_the_kind_is_itself_and_others_become_one() -> None:
    problems, own = Problems(PATH), ConversionError(PATH, "a", hint="do this")
    problems.note([own])
    with pytest.raises(ConversionError) as caught:
        problems.raise_any()
    assert caught.value is own
    problems = Problems(PATH)
    problems.note([UnsupportedModelError(PATH, "b", expected="1", got=2, hint="do that")])
    with pytest.raises(ConversionError) as caught:
        problems.raise_any()
    assert caught.value.hint == "do that" and caught.value.path == str(PATH)
    assert str(caught.value).count(str(PATH)) == 1 and "b: expected 1, got 2" in str(caught.value)


def test_all_are_told_once_and_what_is_no_fault_of_the_source_passes() -> None:
    problems = Problems(PATH)
    for error in (ModelFileError(PATH, "a"), ModelFileError(PATH, "a"), TokenizerError("b")):
        with problems.noted():
            raise error
    with pytest.raises(ZeroDivisionError), problems.noted():
        raise ZeroDivisionError
    with pytest.raises(ConversionError) as caught:
        problems.raise_any()
    assert caught.value.got == "(1) a; (2) b"
