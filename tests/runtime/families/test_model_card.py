"""What files say of names and of sampling, written by the gguf package under its own keys."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte.families.model_card import SAMPLING_KEYS, SEQUENCE_KEY, ModelCard, sampling_from_hf
from halfbyte.gguf.file import GGUFFile

GENERAL = gguf.Keys.General


def card(path: Path, *values: tuple[str, Any, str]) -> ModelCard:
    """The card of a file with these keys, each (key, value, the writer's method for it)."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value, kind in values:
        getattr(writer, f"add_{kind}")(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(path) as file:
        return ModelCard.from_gguf(file)


def test_the_keys_are_those_of_the_gguf_package() -> None:
    assert SAMPLING_KEYS == {
        "temperature": GENERAL.SAMPLING_TEMP, "top_k": GENERAL.SAMPLING_TOP_K,
        "top_p": GENERAL.SAMPLING_TOP_P, "min_p": GENERAL.SAMPLING_MIN_P,
        "repetition_penalty": GENERAL.SAMPLING_PENALTY_REPEAT,
        "penalty_window": GENERAL.SAMPLING_PENALTY_LAST_N,
        "xtc_probability": GENERAL.SAMPLING_XTC_PROBABILITY,
        "xtc_threshold": GENERAL.SAMPLING_XTC_THRESHOLD, "mirostat": GENERAL.SAMPLING_MIROSTAT,
        "mirostat_tau": GENERAL.SAMPLING_MIROSTAT_TAU,
        "mirostat_eta": GENERAL.SAMPLING_MIROSTAT_ETA,
    }  # fmt: skip
    assert SEQUENCE_KEY == GENERAL.SAMPLING_SEQUENCE


def test_names_those_that_tell_most_first(tmp_path: Path) -> None:
    url = "https://huggingface.co/Qwen/Qwen2.5-Coder-7B"
    found = card(
        tmp_path / "file-name.gguf",
        (GENERAL.NAME, "Tune", "string"),
        (GENERAL.BASENAME, "tune", "string"),
        (GENERAL.SIZE_LABEL, "7B", "string"),
        (GENERAL.BASE_MODEL_COUNT, 2, "uint32"),
        (GENERAL.BASE_MODEL_NAME.format(id=0), "Qwen2.5 Coder 7B", "string"),
        (GENERAL.BASE_MODEL_REPO_URL.format(id=0), url, "string"),
        (GENERAL.BASE_MODEL_NAME.format(id=1), 5, "uint32"),
    )
    assert found.names == ("Tune 7B", "tune 7B", "Qwen2.5 Coder 7B", url, "file-name")
    assert card(tmp_path / "only.gguf").names == ("only",)


def test_tags(tmp_path: Path) -> None:
    """What is no list of texts is left out."""
    tags = (GENERAL.TAGS, ["next-edit", "zeta-2"] + ["x" * 999] * 200, "array")
    found = card(tmp_path / "m.gguf", tags).tags
    assert found[:2] == ("next-edit", "zeta-2") and len(found) == 64
    assert {len(tag) for tag in found[2:]} == {200}
    assert card(tmp_path / "n.gguf", (GENERAL.TAGS, "zeta-2", "string")).tags == ()
    assert card(tmp_path / "o.gguf", (GENERAL.TAGS, [1, 2], "array")).tags == ()


def test_names_are_bounded(tmp_path: Path) -> None:
    """A pattern that is tried on one takes no time."""
    found = card(tmp_path / "m.gguf", (GENERAL.NAME, "codellama" * 100_000, "string"))
    assert found.names == (("codellama" * 100)[:200], "m")


def test_sampling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = card(
        tmp_path / "m.gguf",
        (GENERAL.SAMPLING_TEMP, 0.6, "float32"),
        (GENERAL.SAMPLING_TOP_K, 20, "int32"),
        (GENERAL.SAMPLING_TOP_P, 0.95, "float32"),
        (GENERAL.SAMPLING_MIN_P, 0.0, "float64"),
        (GENERAL.SAMPLING_PENALTY_REPEAT, 1.05, "float32"),
        (GENERAL.SAMPLING_PENALTY_LAST_N, 64, "int32"),
        (GENERAL.SAMPLING_SEQUENCE, "top_k;temperature", "string"),
    )
    # 0.6, not the nearest of 32 bits.
    assert found.sampling == {
        "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.0, "repetition_penalty": 1.05,
        "penalty_window": 64, "samplers": "top_k;temperature",
    }  # fmt: skip
    assert type(found.sampling["top_k"]) is int
    assert not caplog.records


def test_what_is_no_number_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = card(
            tmp_path / "m.gguf",
            (GENERAL.SAMPLING_TEMP, "hot" * 1000, "string"),
            (GENERAL.SAMPLING_TOP_P, float("nan"), "float32"),
            (GENERAL.SAMPLING_TOP_K, True, "bool"),
            (GENERAL.SAMPLING_MIN_P, [0.1], "array"),
            (GENERAL.SAMPLING_PENALTY_REPEAT, 1.1, "float32"),
            (GENERAL.SAMPLING_SEQUENCE, 3, "int32"),
            *((f"general.sampling.{'x' * 500}{i}", i, "int32") for i in range(50)),
        )
    assert found.sampling == {"repetition_penalty": 1.1}
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 5 and all(len(text) < 800 for text in texts)
    for word in ("temperature", "top_p", "top_k", "min_p", "general.sampling.xx"):
        assert any(word in text for text in texts)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Qwen2.5-Coder-7B-Instruct's, Llama 3 8B Instruct's and SmolLM2's generation_config.json
        (
            {"bos_token_id": 151643, "do_sample": True, "eos_token_id": [151645, 151643],
             "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
            {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1},
        ),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 4096},
         {"temperature": 0.6, "top_p": 0.9}),
        ({"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2}, {}),
        # Greedy, whatever else it says.
        ({"do_sample": False, "temperature": 0.6, "top_k": 9, "repetition_penalty": 1.2},
         {"temperature": 0.0, "repetition_penalty": 1.2}),
        ({"temperature": None, "top_k": None, "min_p": 0.1}, {"min_p": 0.1}),
        # What llama.cpp's converter takes from there, too.
        ({"penalty_last_n": 64, "penalty_window": 3, "mirostat": 2, "xtc_threshold": 0.2},
         {"penalty_window": 64, "mirostat": 2, "xtc_threshold": 0.2}),
    ],
)  # fmt: skip
def test_generation_configs(config: dict[str, Any], expected: dict[str, float]) -> None:
    assert sampling_from_hf(Path("generation_config.json"), config) == expected


def test_a_generation_config_with_odd_values(caplog: pytest.LogCaptureFixture) -> None:
    odd = {"temperature": "0.7", "top_k": [5], "top_p": 10**400, "min_p": True, "do_sample": 1}
    odd["repetition_penalty"] = float("inf")
    path = Path("x") / "generation_config.json"
    assert sampling_from_hf(path, odd) == {}
    for top_k in (2.5, 2**31, -(10**400)):
        assert sampling_from_hf(path, {"top_k": top_k}) == {}
    assert len(caplog.records) == 8 and str(path) in caplog.text
