"""A window that is asked for: which numbers it takes, and which models."""

from __future__ import annotations

from dataclasses import replace

import pytest
import small_models as small

from halfbyte.errors import RequestError
from halfbyte.families.attention_window import check_window, with_window
from halfbyte.families.config import MAX_CTX


def test_what_is_given() -> None:
    assert check_window(None, None) == (0, 0)
    assert check_window(512, None) == (512, 4)
    assert check_window(1, 0) == (1, 0) and check_window(512, 128) == (512, 128)
    for window in (0, -1, 2.0, True, "4", MAX_CTX):
        with pytest.raises(RequestError, match="attention_window"):
            check_window(window, None)
    for sinks in (-1, 129, 4.0, False):
        with pytest.raises(RequestError, match="attention_sinks"):
            check_window(512, sinks)
    with pytest.raises(RequestError, match="beside attention_window, which is not given"):
        check_window(None, 4)


def test_layers_that_see_all_take_it() -> None:
    config = small.SHAPES["gpt-oss"].config()
    assert with_window(config, 0, 0) is config
    found = with_window(config, 200, 4)
    assert [found.window(i) for i in range(2)] == [50, 200]
    assert [found.sinks_of(i) for i in range(2)] == [0, 4]
    assert (found.longest_window, found.n_exact) == (200, 204)
    assert (config.longest_window, config.n_exact) == (0, 0)
    local = small.SHAPES["Laguna"].config()
    ropes = [with_window(local, 200, 4).rope_of(i) for i in range(2)]
    assert ropes == [local.rope, local.local_rope]  # whose are layers with a window of their own


@pytest.mark.parametrize("name, why", [
    ("DeepSeek", "MLA"), ("Qwen3Next", "recurrent"), ("LFM2", "recurrent"),
    ("window", "all layers have a window of 50"),
])  # fmt: skip
def test_models_that_cannot_say_why(name: str, why: str) -> None:
    with pytest.raises(RequestError, match=why) as error:
        with_window(small.SHAPES[name].config(), 512, 4)
    assert error.value.param == "attention_window"


def test_learned_positions_end() -> None:
    config = replace(small.SHAPES["Gemma"].config(), architecture="starcoder")
    with pytest.raises(RequestError, match="has learned 1024 positions"):
        with_window(config, 512, 4)
