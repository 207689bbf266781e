"""What is told of a model that is served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.families.config import MAX_CTX
from halfbyte.generation.model_hash import FilesHash
from halfbyte.server.llama_cpp.generation_options import generation_options
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.openai.chat_asking import chat_ask
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.openai.response_asking import response_ask
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.served_model import ServedModel
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving


def test_the_fingerprint_is_of_the_file_once_that_is_read(
    infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hashlib.sha256(Path(infill_model.path).read_bytes()).hexdigest()
    answers = iter([None, known])  # and no third question
    with monkeypatch.context() as patch:
        patch.setattr(FilesHash, "get", lambda self, timeout=0: next(answers))
        served = ServedModel("a", infill_model, 0)
        size = Path(infill_model.path).stat().st_size
        assert served.fingerprint == f"hb_{halfbyte.__version__}_int8_llama-{size:x}"
        for _ in range(2):
            assert served.fingerprint == f"hb_{halfbyte.__version__}_int8_{known[:12]}"
    assert infill_model.file_hash in (None, known)


def test_the_name_it_is_served_under_tells_its_edits(infill_model: halfbyte.Model) -> None:
    assert ServedModel("zeta2.1", infill_model, 0).edit_format == "zeta-2.1"
    assert ServedModel("infill-10m", infill_model, 0).edit_format is None
    assert infill_model.edit_format is None


@pytest.fixture(scope="module")
def endless() -> Iterator[halfbyte.Model]:
    """A model with 104 positions in sight."""
    with halfbyte.load("infill-10m", threads=1, attention_window=100, kv_type="f32") as model:
        assert model.n_ctx == MAX_CTX
        yield model


def test_a_text_without_end_is_told_as_what_is_in_sight(endless: halfbyte.Model) -> None:
    """Clients fill the context that they are told of."""
    served, shelf = ServedModel("a", endless, 0), Shelf({"a": "infill-10m"}, halfbyte.load)
    assert served.n_ctx == 104 and "_f32_4+100_" in served.fingerprint
    shelf.put("a", endless)
    with serving(shelf) as url:

        def got(path: str) -> Any:
            return httpx.get(f"{url}{path}", trust_env=False).json()

        (listed,) = got("/v1/models")["data"]
        shown = httpx.post(f"{url}/api/show", json={"model": "a"}, trust_env=False).json()
        assert {
            listed["max_model_len"], listed["max_input_tokens"], listed["meta"]["n_ctx"],
            got("/props")["default_generation_settings"]["n_ctx"], got("/slots")[0]["n_ctx"],
            got("/models")["data"][0]["meta"]["n_ctx"],
            got("/api/ps")["models"][0]["context_length"],
            shown["model_info"]["llama.context_length"],
        } == {104}  # fmt: skip


def test_answers_that_nobody_bounds_end_there(endless: halfbyte.Model) -> None:
    """A model that repeats itself would keep its place."""
    served = ServedModel("a", endless, 0)
    fields: dict[str, Any] = {"model": "a", "messages": [{"role": "user", "content": "x"}]}
    asks = [chat_ask(served, ChatFields.model_validate(fields)).options,
            response_ask(served, ResponseFields.model_validate({"input": "x"})).options,
            generation_options(GenerationFields(), served)]  # fmt: skip
    assert [options["max_tokens"] for options in asks] == [104, 104, 104]
    assert generation_options(GenerationFields(n_predict=500), served)["max_tokens"] == 500


def test_a_context_that_is_given_is_told_as_it_is() -> None:
    with halfbyte.load("infill-10m", threads=1, attention_window=100, ctx=300) as model:
        assert ServedModel("a", model, 0).n_ctx == model.n_ctx == 300
