"""Arguments of odd types given to transformers' names are RequestErrors that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.hf.auto_model import CausalLM

PAIR = np.array([1, 2])  # whose truth and whose equality NumPy refuses
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.fixture(scope="module")
def model(infill_model: halfbyte.Model) -> CausalLM:
    return CausalLM(infill_model, halfbyte.GenerationConfig(), "infill-10m")


def refused(name: str, call: Any, *arguments: Any, **named: Any) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        call(*arguments, **named)
    assert caught.value.param == name


def test_places() -> None:
    for auto in (halfbyte.AutoConfig, halfbyte.AutoTokenizer, halfbyte.AutoModelForCausalLM):
        read = auto.from_pretrained  # type: ignore[attr-defined]
        for value in (None, 1.5, PAIR, LOOP):
            refused("model", read, value)
        for name in ("subfolder", "gguf_file", "local_files_only", "revision"):
            refused(name, read, "infill-10m", **{name: PAIR})


def test_generation(model: CausalLM) -> None:
    for name in ("num_beams", "logits_processor", "stopping_criteria", "do_sample"):
        refused(name, model.generate, [[1]], **{name: PAIR})
    refused("eos_token_id", model.generate, [[1]], eos_token_id=LOOP)
    refused("temperature", model.generate, [[1]], do_sample=True, temperature=LOOP)
    refused("stop_strings", model.generate, [[1]], stop_strings=[None])
    refused("streamer", model.generate, [[1]], streamer=PAIR)
    refused("return_dict", model, [[1]], return_dict=PAIR)
    refused("input_ids", model, LOOP)
    refused("only_trainable", model.num_parameters, PAIR)


def test_pipelines(model: CausalLM) -> None:
    tokenizer = halfbyte.AutoTokenizer.from_pretrained("infill-10m")
    refused("model", halfbyte.TextGenerationPipeline, None, tokenizer)
    refused("tokenizer", halfbyte.TextGenerationPipeline, model, None)
    for name in ("task", "revision", "model_kwargs", "return_type", "truncation"):
        refused(name, halfbyte.pipeline, **{"model": model, name: PAIR})
    pipe = halfbyte.pipeline(model=model, tokenizer=tokenizer, dtype=PAIR)
    for name in ("prefix", "streamer", "tokenizer_encode_kwargs", "return_full_text"):
        refused(name, pipe, "x", **{name: PAIR})


def test_tokenizers() -> None:
    tokenizer = halfbyte.AutoTokenizer.from_pretrained("infill-10m")
    for name in ("return_tensors", "add_special_tokens", "return_length", "padding"):
        refused(name, tokenizer, "x", **{name: PAIR})
    for value in (None, 1.5, LOOP, ["x"]):
        refused("ids", tokenizer.convert_ids_to_tokens, value)
    refused("tokens", tokenizer.convert_tokens_to_ids, 1.5)
