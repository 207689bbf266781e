"""Adapters by number, and times, in the keywords of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.llama_cpp.generation_options import generation_options, indent_options
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.served_model import ServedModel
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PROMPT = "ab cd ef gh ij kl"


@pytest.fixture(scope="module")
def adapted(
    tiny_gguf: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Callable[[str], ModuleType],
) -> Iterator[ServedModel]:  # fmt: skip
    from safetensors.numpy import load_file

    made, root = benchmark_module("tiny_adapter"), tmp_path_factory.mktemp("adapters")
    weights = load_file(tiny_folder / "model.safetensors")
    with halfbyte.load(tiny_gguf, threads=1) as model:
        for seed in (1, 2):
            adapter = made.TinyAdapter(
                seed, r=4, alpha=8, modules=made.ATTENTION + made.NETWORK, has_head=False,
                dtype="float32",
            )  # fmt: skip
            model.load_adapter(made.save(adapter, weights, root / f"a{seed}"))
        yield ServedModel("tiny", model, 0)


def _options(model: ServedModel, **fields: Any) -> dict[str, Any]:
    return generation_options(GenerationFields.model_validate(fields), model)


def test_adapters_that_are_not_named_have_no_part(adapted: ServedModel) -> None:
    assert "adapter" not in _options(adapted)
    assert _options(adapted, lora=[])["adapter"] == []
    scales = [{"id": 1, "scale": 0.5}, {"id": 0, "scale": 0.0}, {"id": 9, "scale": 1.0}]
    assert _options(adapted, lora=scales)["adapter"] == [("a2", 0.5)]
    assert _options(adapted, lora=scales, n_predict=0)["adapter"] == [("a2", 0.5)]


def test_a_scale_is_a_requests_own(adapted: ServedModel) -> None:
    shelf = Shelf({"tiny": "tiny"}, halfbyte.load)
    shelf.put("tiny", adapted.model)
    ids = adapted.model.tokenizer.encode(PROMPT)
    with serving(shelf) as url, httpx.Client(base_url=url, trust_env=False) as client:
        listed = client.get("/lora-adapters").json()
        assert listed == [{"id": i, "path": f"a{i + 1}", "scale": 0.0} for i in range(2)]
        answers = []
        for scale in (0.0, 0.5, 4.0):
            asked = {"prompt": ids, "n_predict": 8, "temperature": 0, "return_tokens": True,
                     "lora": [{"id": 1, "scale": scale}]}  # fmt: skip
            got = client.post("/completion", json=asked).json()["tokens"]
            adapter = [("a2", scale)] if scale else []
            expected = adapted.model.complete(ids, max_tokens=8, adapter=adapter).tokens
            assert got == expected
            answers.append(tuple(got))
    assert len(set(answers)) > 1


def test_times_and_lengths(adapted: ServedModel) -> None:
    got = _options(adapted, t_max_predict_ms=250, n_indent=4, n_predict=7, stop="x", n_probs=3)
    assert (got["line_time"], got["max_tokens"]) == (0.25, 7)
    assert (got["stop"], got["logprobs"], got["logprobs_of"]) == (["x"], 3, "model")
    rest = _options(adapted, t_max_predict_ms=-1, n_indent=0, n_predict=-1, stop=[""])
    assert not {"line_time", "stop", "logprobs"} & rest.keys()
    assert rest["max_tokens"] == adapted.model.n_ctx
    assert _options(adapted, n_predict=0, samplers=["none such"]) == {"max_tokens": 0}


@pytest.mark.parametrize(
    ("before", "n_indent", "columns"),
    [("if a:\n    x", 4, 4), ("func f() {\n\t\tx", 2, 16), ("\n\t  x", 3, 10), ("\n  \tx", 3, 8),
     ("\t\tx", 1, 8), ("\n  x", 4, 4), ("\t\n", 3, 3), ("", 2, 2)],
)  # fmt: skip
def test_an_indentation_is_counted_in_the_cursors_tabs(
    before: str, n_indent: int, columns: int
) -> None:
    asked = GenerationFields.model_validate({"n_indent": n_indent})
    assert indent_options(asked, before) == {"stop_indent": columns}


@pytest.mark.parametrize("fields", [{}, {"n_indent": 0}, {"n_indent": 4, "n_predict": 0}])
def test_there_may_be_no_indentation(fields: dict[str, int]) -> None:
    assert indent_options(GenerationFields.model_validate(fields), "\tx") == {}


def test_adapters_may_have_a_part_in_all_requests(adapted: ServedModel) -> None:
    adapted.model.use_adapters([("a2", 0.25)])
    try:
        assert adapted.model.adapter_scales == {"a1": 0.0, "a2": 0.25}
        assert "adapter" not in _options(adapted)  # as the model has it
    finally:
        adapted.model.use_adapters([])
    assert adapted.model.adapter_scales == {"a1": 0.0, "a2": 0.0}
