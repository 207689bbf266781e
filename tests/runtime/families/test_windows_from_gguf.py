"""Windows of attention in GGUF files: stated, absent, and what contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.errors import ModelFileError
from halfbyte.families.config import ModelConfig
from tests.runtime.families.test_from_gguf import SAVED, keys_of, read

WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"
EXPERTS = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 64}
MAY_LACK = ("laguna", "mellum", "olmo2")


def of(tmp_path: Path, architecture: str, **more: object) -> ModelConfig:
    experts = EXPERTS if architecture in ("laguna", "mellum", "gpt-oss") else {}
    return read(tmp_path, keys_of(architecture, **experts, **more), architecture)


@pytest.mark.parametrize("architecture", MAY_LACK)
def test_what_states_none_has_none(architecture: str, tmp_path: Path) -> None:
    c = of(tmp_path, architecture)
    assert (c.sliding_window, c.sliding_layers, c.local_rope) == (0, (), None)
    c = of(tmp_path, architecture, **{PATTERN: [False] * 3})
    assert (c.sliding_window, c.sliding_layers, c.local_rope) == (0, (), None)
    assert of(tmp_path, architecture, **{WINDOW: 0}, **SAVED).sliding_window == 0


@pytest.mark.parametrize("architecture", [*MAY_LACK, "gemma2", "gemma3", "gpt-oss"])
def test_a_window_of_0_is_refused(architecture: str, tmp_path: Path) -> None:
    assert of(tmp_path, architecture, **{WINDOW: 8}).sliding_window == 8
    for more in ({}, {PATTERN: [True, False, True]}):
        with pytest.raises(ModelFileError) as caught:
            of(tmp_path, architecture, **{WINDOW: 0}, **more)
        assert caught.value.field == f"{architecture}.{WINDOW}" and caught.value.got == 0


@pytest.mark.parametrize("architecture", MAY_LACK)
@pytest.mark.parametrize("pattern", [[False, True, True], 2])
def test_layers_with_a_window_that_is_not_stated(
    architecture: str, pattern: object, tmp_path: Path
) -> None:
    for more in ({}, {WINDOW: 0, **SAVED}):
        with pytest.raises(ModelFileError, match="the window of the layers") as caught:
            of(tmp_path, architecture, **{PATTERN: pattern}, **more)
        assert caught.value.field == f"{architecture}.{WINDOW}"


def test_a_window_under_two_names_is_refused(tmp_path: Path) -> None:
    keys = {**keys_of("mellum", **EXPERTS, **{WINDOW: 8}), "halfbyte.sliding_window": 8}
    with pytest.raises(ModelFileError, match=r"mellum\.attention\.sliding_window") as caught:
        read(tmp_path, keys, "mellum")
    assert caught.value.field == "halfbyte.sliding_window"


def test_0_is_none_in_files_of_phi_4(tmp_path: Path) -> None:
    """So llama.cpp's converter tells them from Phi-3's."""
    assert of(tmp_path, "phi3", **{WINDOW: 0}).sliding_window == 0
    assert of(tmp_path, "phi3", **{WINDOW: 9}).window(1) == 9


def test_the_window_of_files_made_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path, {"halfbyte.sliding_window": 4096}).sliding_window == 4096
    assert read(tmp_path, {}).sliding_window == 0
    assert caplog.text == ""
    with pytest.raises(ModelFileError, match=r"halfbyte\.sliding_window"):
        read(tmp_path, {"halfbyte.sliding_window": 0})


def test_another_window_is_none_as_in_llama_cpp(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path, {f"llama.{WINDOW}": 4096}).sliding_window == 0
    assert "no window" in caplog.text
