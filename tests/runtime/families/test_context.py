"""How long sequences may be: what is asked for, and what a model was trained with."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import small_models as small

from halfbyte.errors import RequestError
from halfbyte.families.attention_window import with_window
from halfbyte.families.config import MAX_CTX
from halfbyte.families.context import check_ctx

N = small.N_CTX


@pytest.fixture(autouse=True)
def warnings_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def test_what_is_said_or_the_models_own(caplog: pytest.LogCaptureFixture) -> None:
    config = small.SHAPES["F32"].config()
    assert [check_ctx(n, config) for n in (None, 2, N)] == [N, 2, N] and not caplog.records
    assert check_ctx(N + 1, config) == N + 1
    assert f"ctx={N + 1} is beyond the {N} tokens" in caplog.text
    for wrong in (1, -1, 2.0, True, "512", MAX_CTX + 1):
        with pytest.raises(RequestError, match="ctx"):
            check_ctx(wrong, config)


def test_a_window_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    config = small.SHAPES["F32"].config()
    assert check_ctx(None, with_window(config, N - 4, 4)) == MAX_CTX
    assert check_ctx(3 * N, with_window(config, N - 4, 4)) == 3 * N and not caplog.records
    assert check_ctx(None, with_window(config, N, 4)) == MAX_CTX
    assert f"attention_window + attention_sinks={N + 4} is beyond the {N}" in caplog.text


def test_learned_positions_end() -> None:
    config = replace(small.SHAPES["F32"].config(), architecture="starcoder")
    assert check_ctx(N, config) == N
    with pytest.raises(RequestError, match=f"at most the {N} positions"):
        check_ctx(N + 1, config)
