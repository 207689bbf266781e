"""`/v1/models` tells what is served, loaded or not."""

from __future__ import annotations

import httpx
import openai
import pytest

import halfbyte
from halfbyte.server.openai.model_list import MODELS
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving


def test_the_models_are_listed(client: openai.OpenAI, model: halfbyte.Model) -> None:
    (found,) = client.models.list().data
    assert (found.id, found.object, found.owned_by) == ("infill-10m", "model", "halfbyte")
    meta = found.meta  # type: ignore[attr-defined]
    assert (meta["n_ctx"], meta["n_ctx_train"]) == (model.n_ctx, model.config.n_ctx_train)
    assert (meta["n_vocab"], meta["can_infill"], meta["can_chat"]) == (8016, True, False)
    assert found.created > 0 and meta["size"] > 1_000_000
    assert client.models.retrieve("infill-10m") == found
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt/9")
    assert caught.value.code == "model_not_found"


def test_nothing_is_loaded_to_be_listed() -> None:
    def load(source: str) -> halfbyte.Model:
        raise AssertionError(source)

    with serving(Shelf({"a": "x", "b/c": "y"}, load)) as url:
        got = httpx.get(f"{url}{MODELS[0].path}", trust_env=False).json()
        assert [one["id"] for one in got["data"]] == ["a", "b/c"]
        one = httpx.get(f"{url}/v1/models/b/c:latest", trust_env=False).json()
        assert one == got["data"][1] and one["meta"] == {}
