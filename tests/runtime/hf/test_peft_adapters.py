"""Adapters under transformers' names, against the library's own calls with `adapter=`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.hf.auto_model import AutoModelForCausalLM, CausalLM

IDS = np.array([[1, 290, 44, 5]])
CALL: dict[str, Any] = {"max_new_tokens": 8, "eos_token_id": None}


@pytest.fixture(scope="module")
def folders(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Callable[[str], ModuleType],
) -> list[Path]:  # fmt: skip
    from safetensors.numpy import load_file

    made, root = benchmark_module("tiny_adapter"), tmp_path_factory.mktemp("peft")
    weights = load_file(tiny_folder / "model.safetensors")
    modules = made.ATTENTION + made.NETWORK
    adapters = [made.TinyAdapter(seed, r=4, alpha=16, modules=modules) for seed in range(2)]
    return [made.save(one, weights, root / f"a{i}") for i, one in enumerate(adapters)]


@pytest.fixture
def model(tiny_gguf: Path) -> Iterator[CausalLM]:
    with AutoModelForCausalLM.from_pretrained(tiny_gguf, threads=2) as model:
        yield model


def said(model: CausalLM, adapter: Any) -> list[list[int]]:
    """What the library's own call says."""
    ids = IDS[0].tolist()
    endless = dict.fromkeys(model.model.tokenizer.eog_ids, -np.inf)
    done = model.model.complete(ids, adapter=adapter, max_tokens=8, logit_bias=endless)
    return [[*ids, *done.tokens]]


def test_what_is_loaded_is_active_until_something_else_is(
    model: CausalLM, folders: list[Path]
) -> None:
    plain = model.generate(IDS, **CALL).tolist()
    with pytest.raises(RequestError, match="load_adapter first"):
        model.active_adapters()
    model.load_adapter(folders[0], low_cpu_mem_usage=True)
    assert model.active_adapters() == ["default"]
    first = model.generate(IDS, **CALL).tolist()
    assert first == said(model, "default") != plain
    assert (model(IDS).logits[0] == model.model.logits(IDS[0], adapter="default")).all()
    model.load_adapter(folders[1], adapter_name="other")
    assert model.active_adapters() == ["other"]
    second = model.generate(IDS, **CALL).tolist()
    assert second == said(model, "other") not in (plain, first)
    model.set_adapter(["default", "other"])
    both = model.generate(IDS, **CALL).tolist()
    assert both == said(model, ["default", "other"]) not in (plain, first, second)
    model.set_adapter("default")
    assert model.generate(IDS, **CALL).tolist() == first
    model.disable_adapters()
    assert model.generate(IDS, **CALL).tolist() == plain
    assert model.generate(IDS, adapter="other", **CALL).tolist() == second
    model.enable_adapters()
    assert model.generate(IDS, **CALL).tolist() == first
    assert model.generate(IDS, adapter=[], **CALL).tolist() == plain
    half = model.generate(IDS, adapter=("other", 0.5), **CALL).tolist()
    assert half == said(model, ("other", 0.5))
    model.delete_adapter("default")
    assert model.active_adapters() == [] and model.model.adapters == ["other"]
    assert model.generate(IDS, **CALL).tolist() == plain


def test_beams_and_samples_go_through_them(model: CausalLM, folders: list[Path]) -> None:
    for more in ({"num_beams": 3}, {"do_sample": True, "top_k": 1}):
        plain = model.generate(IDS, adapter=[], **CALL, **more).tolist()
        if not model.model.adapters:
            model.load_adapter(folders[0])
        assert model.generate(IDS, **CALL, **more).tolist() != plain


@pytest.mark.parametrize("is_usual", [False, True])
def test_what_is_looked_at_went_through_them_too(
    model: CausalLM, folders: list[Path], *, is_usual: bool
) -> None:
    model.model.load_adapter(folders[0], name="one")
    if is_usual:
        model.model.use_adapters([("one", 1.0)])
    states = []
    for adapter in ("one", []):
        done = model.generate(
            IDS, adapter=adapter, output_hidden_states=True, output_attentions=True,
            return_dict_in_generate=True, **CALL,
        )  # fmt: skip
        seen = model.model.trace(done.sequences[0, :-1].tolist(), adapter=adapter, attentions=True)
        assert seen.attentions is not None
        for i, (layers, weights) in enumerate(
            zip(done.hidden_states[1:], done.attentions[1:], strict=True), IDS.shape[1]
        ):
            assert (np.stack(layers)[:, 0, 0] == seen.hidden_states[:, i]).all()
            assert (np.stack(weights)[:, 0, :, 0] == seen.attentions[:, :, i, : i + 1]).all()
        states.append(seen.hidden_states)
    assert (states[0] != states[1]).any()


def test_what_is_refused(model: CausalLM, folders: list[Path]) -> None:
    model.load_adapter(folders[0])
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("name", lambda: model.load_adapter(folders[1])),
        ("is_trainable", lambda: model.load_adapter(folders[1], "b", is_trainable=True)),
        ("adapter_state_dict", lambda: model.load_adapter(folders[1], "b", adapter_state_dict={})),
        ("adapter_name", lambda: model.set_adapter("none")),
        ("adapter_name", lambda: model.set_adapter(3)),  # type: ignore[arg-type]
        ("adapter_names", lambda: model.delete_adapter(["default", "none"])),
        ("add_adapter", lambda: model.add_adapter(None, "b")),
        ("adapter", lambda: model.generate(IDS, adapter="none")),
    ]  # fmt: skip
    for name, call in calls:
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.param == name
    with pytest.raises(halfbyte.ModelFileError):
        model.load_adapter(folders[0].parent / "gone", "b")
    assert model.active_adapters() == ["default"]
