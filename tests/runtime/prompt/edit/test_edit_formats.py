"""Which format a model has, by its names."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.edit.edit_formats import FORMATS, NAMES, check_vocabulary, find_edit_format
from halfbyte.prompt.infill_models import find_row


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("Sweep Next Edit 1.5B", "sweep"),
        ("sweepai/sweep-next-edit-v2-7B", "sweep"),
        ("sweep_next_edit_0.5b.q8_0", "sweep"),
        ("Zeta 2", "zeta-2"),
        ("zed-industries/zeta-2", "zeta-2"),
        ("zeta2", "zeta-2"),
        ("zeta-2.Q4_K_M", "zeta-2"),
        ("zeta-2-8b", "zeta-2"),
        ("zeta-2-1b", "zeta-2"),
        ("https://huggingface.co/zed-industries/zeta-2.1", "zeta-2.1"),
        ("Zeta 2.1 8B", "zeta-2.1"),
        ("zeta2.1", "zeta-2.1"),
        ("zeta_2_1-q4_k_m", "zeta-2.1"),
        ("zeta-2.1.Q4_K_M", "zeta-2.1"),
        ("zeta", None),
        ("zeta-2.2", None),
        ("zeta-20b", None),
        ("zeta-2.15", None),
        ("betazeta-2", None),
        ("Qwen2.5 Coder 7B", None),
        ("Seed Coder 8B Base", None),
    ],
)
def test_names(name: str, format: str | None) -> None:
    found = find_edit_format([name])
    assert (found.name if found else None) == format
    if found:  # and none of them is taken for an infilling model
        row = find_row([name])[1]
        assert row is not None and not row.is_trained


def test_the_first_name_that_tells_counts() -> None:
    found = find_edit_format(["My finetune", "zeta-2", "sweep-next-edit"])
    assert found is not None and found.name == "zeta-2"
    assert find_edit_format([]) is None and NAMES == (*FORMATS, "fim")


@pytest.mark.parametrize("name", FORMATS)
def test_the_vocabulary_must_have_the_tokens(vocabulary_of: Any, name: str) -> None:
    check_vocabulary(vocabulary_of(name).tokenizer, FORMATS[name])
    other = vocabulary_of("zeta-2" if name == "sweep" else "sweep").tokenizer
    with pytest.raises(UnsupportedModelError) as caught:
        check_vocabulary(other, FORMATS[name])
    assert all(token in str(caught.value) for token in FORMATS[name].tokens)
