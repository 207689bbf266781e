"""What clients ask about models; the keys are those of llama-server b11434's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.shelf import Shelf
from tests.runtime.server.chat_models import CALLS, with_template
from tests.runtime.server.conftest import serving

NUMBER, TEXT = (int, float), str
PROPS: dict[str, Any] = {
    "default_generation_settings": dict, "total_slots": int, "model_alias": TEXT,
    "model_ftype": TEXT, "model_path": TEXT, "modalities": dict, "media_marker": TEXT,
    "endpoint_slots": bool, "endpoint_props": bool, "endpoint_metrics": bool, "ui": bool,
    "ui_settings": dict, "chat_template": TEXT, "chat_template_caps": dict, "bos_token": TEXT,
    "eos_token": TEXT, "build_info": TEXT, "is_sleeping": bool, "cors_proxy_enabled": bool,
}  # fmt: skip
PARAMS: dict[str, Any] = {
    **dict.fromkeys(("seed", "top_k", "repeat_last_n", "dry_allowed_length", "dry_penalty_last_n",
                     "mirostat", "max_tokens", "n_predict", "n_keep", "n_discard", "n_probs",
                     "min_keep"), int),
    **dict.fromkeys(("temperature", "dynatemp_range", "dynatemp_exponent", "top_p", "min_p",
                     "top_n_sigma", "xtc_probability", "xtc_threshold", "typical_p",
                     "repeat_penalty", "presence_penalty", "frequency_penalty", "dry_multiplier",
                     "dry_base", "mirostat_tau", "mirostat_eta", "adaptive_target",
                     "adaptive_decay"), NUMBER),
    **dict.fromkeys(("ignore_eos", "stream", "reasoning_in_content", "timings_per_token",
                     "post_sampling_probs", "backend_sampling"), bool),
    **dict.fromkeys(("chat_format", "reasoning_format", "generation_prompt",
                     "speculative.types"), TEXT),
    "samplers": list, "lora": list,
}  # fmt: skip
META: dict[str, Any] = {
    **dict.fromkeys(("vocab_type", "n_vocab", "n_ctx", "n_ctx_train", "n_embd", "n_params", "size"),
                    int),
    "ftype": TEXT,
}  # fmt: skip


def _check(got: dict[str, Any], kinds: dict[str, Any]) -> None:
    assert kinds.keys() <= got.keys()
    for name, kind in kinds.items():
        assert isinstance(got[name], kind), name


@pytest.fixture(scope="module")
def two() -> Iterator[httpx.Client]:
    """A server of two models, of which one is loaded."""
    with halfbyte.load("infill-10m", threads=1) as model:
        shelf = Shelf({"one": "infill-10m", "other": "missing.gguf"}, halfbyte.load)
        shelf.put("one", model)
        with serving(shelf) as url, httpx.Client(base_url=url, trust_env=False) as client:
            yield client


def test_properties_have_the_context_that_llama_vscode_reads(http: httpx.Client) -> None:
    got = http.get("/props", params={"model": "infill-10m", "autoload": "false"}).json()
    _check(got, PROPS)
    defaults = got["default_generation_settings"]
    assert defaults["n_ctx"] == 512
    _check(defaults["params"], PARAMS)
    assert defaults["params"]["seed"] == (1 << 32) - 1 and defaults["params"]["top_k"] == 40
    assert (got["bos_token"], got["eos_token"]) == ("<s>", "</s>")
    assert got["model_path"] == "infill-10m.gguf"  # no folder of the server's
    assert "chat_template_tool_use" not in got
    assert http.post("/props", json={}).status_code == 501


def test_a_template_for_tools_is_told_beside_the_default_one(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": CALLS}]
    path = str(with_template(tmp_path / "m.gguf", named))
    with halfbyte.load(path, threads=1) as model:
        shelf = Shelf({"loaded": path, "other": path}, halfbyte.load)
        shelf.put("loaded", model)
        with serving(shelf) as url, httpx.Client(base_url=url, trust_env=False) as client:
            for name in ("loaded", "other"):
                got = client.get("/props", params={"model": name}).json()
                assert (got["chat_template"], got["chat_template_tool_use"]) == ("plain", CALLS)
                assert got["chat_template_caps"]["supports_tools"]


def test_models_are_llamacpps_own(http: httpx.Client, two: httpx.Client) -> None:
    got = http.get("/models").json()
    (one,) = got["data"]
    assert (one["id"], one["object"], one["owned_by"]) == ("infill-10m", "model", "llamacpp")
    _check(one["meta"], META)
    assert (one["meta"]["n_params"], one["meta"]["vocab_type"]) == (10395648, 1)
    assert [model["name"] for model in got["models"]] == ["infill-10m"]
    loaded, other = two.get("/models").json()["data"]
    assert (loaded["id"], loaded["status"]["value"]) == ("one", "loaded")
    assert (other["id"], other["status"]["value"], other["meta"]) == ("other", "unloaded", None)


def test_a_model_alone_has_every_name(http: httpx.Client, two: httpx.Client) -> None:
    asked = {"prompt": "a", "n_predict": 1, "model": "whatever the editor is set to"}
    assert http.post("/completion", json=asked).json()["model"] == "infill-10m"
    got = two.post("/completion", json=asked)
    assert got.status_code == 404 and got.json()["error"]["type"] == "not_found_error"
    assert two.post("/completion", json={**asked, "model": ""}).json()["model"] == "one"


def test_who_only_looks_has_nothing_loaded(shelf: Shelf) -> None:
    def load(source: str) -> Any:
        raise AssertionError

    asleep = Shelf({"one": "infill-10m", "other": "missing.gguf"}, load)
    with serving(asleep) as url, httpx.Client(base_url=url, trust_env=False) as client:
        got = client.get("/props", params={"model": "one"}).json()
        _check(got, PROPS)
        assert (got["is_sleeping"], got["model_alias"], got["model_ftype"]) == (True, "one", "Q8_0")
        assert got["default_generation_settings"]["n_ctx"] == 512
        for path in ("/props", "/slots", "/models", "/v1/models", "/api/tags", "/api/ps"):
            for name in ("one", "other"):
                assert client.get(path, params={"model": name}).status_code == 200
        assert client.get("/lora-adapters").status_code == 503
        for path in ("/props", "/slots", "/lora-adapters"):
            assert client.get(path, params={"model": "none"}).status_code == 404


def test_slots_are_as_many_as_places(http: httpx.Client) -> None:
    slots = http.get("/slots", params={"fail_on_no_slot": "1"}).json()
    assert [slot["id"] for slot in slots] == list(range(32))
    kinds = {"id": int, "n_ctx": int, "speculative": bool, "is_processing": bool}
    _check(slots[0], kinds)


def test_adapters_are_numbered_and_not_set_for_all(http: httpx.Client) -> None:
    assert http.get("/lora-adapters").json() == []
    refused = http.post("/lora-adapters", json=[{"id": 0, "scale": 1}])
    assert refused.status_code == 501 and "lora" in refused.json()["error"]["message"]
