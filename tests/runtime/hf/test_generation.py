"""`AutoModelForCausalLM.generate`, against transformers' own answers and the runtime's."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import halfbyte
from halfbyte import AutoModelForCausalLM, GenerationConfig, LlamaForCausalLM
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.hf import pipeline as pipelines
from halfbyte.hf.auto_model import PLACES, CausalLM
from halfbyte.hf.keywords import GenerateOptions, ModelOptions, PipelineOptions

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "data" / "golden_generation.json").read_text("utf-8")
)
PROMPT = "def fibonacci(n):"


@pytest.fixture(scope="module")
def model() -> Iterator[CausalLM]:
    with AutoModelForCausalLM.from_pretrained("infill-10m", dtype="auto", threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return halfbyte.AutoTokenizer.from_pretrained("infill-10m")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: ",".join(case["call"]))
def test_ids_are_those_of_transformers(tiny: CausalLM, case: dict[str, Any]) -> None:
    call = {k: np.array(v) if k == "inputs" and v else v for k, v in case["call"].items()}
    out = tiny.generate(**call)
    assert out.dtype == np.int64
    assert out.tolist() == case["ids"]


def test_it_says_what_the_runtime_says(model: CausalLM, tokenizer: Any) -> None:
    inputs = tokenizer(PROMPT, return_tensors="np")
    out = model.generate(**inputs, max_length=50)
    ids = inputs.input_ids[0].tolist()
    done = model.model.complete(ids, max_tokens=50 - len(ids))
    assert out.tolist() == [ids + done.tokens]


def test_a_row_does_not_depend_on_its_neighbours(model: CausalLM, tokenizer: Any) -> None:
    texts = ["x", "def fibonacci(n):\n    if n", "import numpy as"]
    tokenizer.padding_side, tokenizer.pad_token = "left", "</s>"
    together = tokenizer(texts, return_tensors="np", padding=True)
    n = together.input_ids.shape[1]
    out = model.generate(**together, max_new_tokens=10)
    for row, text in zip(out, texts, strict=True):
        alone = model.generate(**tokenizer(text, return_tensors="np"), max_new_tokens=10)
        assert row[n:].tolist() == alone[0, -10:].tolist()


def test_an_end_token_stands_in_the_answer(model: CausalLM, tokenizer: Any) -> None:
    ids = tokenizer(PROMPT, return_tensors="np").input_ids
    free = model.generate(ids, max_new_tokens=8)[0, ids.shape[1] :].tolist()
    end = free[4]
    out = model.generate(ids, max_new_tokens=8, eos_token_id=end)
    assert out[0, ids.shape[1] :].tolist() == free[: free.index(end) + 1]
    out = model.generate(ids, max_new_tokens=8, eos_token_id=None)
    assert out[0, ids.shape[1] :].tolist() == free


def test_a_stop_string_ends_with_its_token(model: CausalLM, tokenizer: Any) -> None:
    ids = tokenizer(PROMPT, return_tensors="np").input_ids
    n = ids.shape[1]
    free = model.generate(ids, max_new_tokens=24)[0].tolist()
    text = tokenizer.decode(free)
    at = text.index("Return")
    for stop in ("Return", text[at - 3 : at + 8], ["not there", "eturn t"]):
        out = model.generate(ids, max_new_tokens=24, stop_strings=stop)[0].tolist()
        assert out == free[: len(out)] and n < len(out) < len(free)
        texts = [stop] if isinstance(stop, str) else stop
        assert any(s in tokenizer.decode(out) for s in texts)
        assert not any(s in tokenizer.decode(out[:-1]) for s in texts)


def test_a_stop_string_may_begin_in_the_prompt_but_not_end_there(
    model: CausalLM, tokenizer: Any
) -> None:
    ids = tokenizer(PROMPT, return_tensors="np").input_ids
    free = model.generate(ids, max_new_tokens=4)[0, ids.shape[1] :].tolist()
    first = model.model.tokenizer.token_bytes(free[0]).decode()
    out = model.generate(ids, max_new_tokens=4, stop_strings=":" + first)
    assert out[0, ids.shape[1] :].tolist() == free[:1]
    out = model.generate(ids, max_new_tokens=4, stop_strings="(n):")
    assert out[0, ids.shape[1] :].tolist() == free


def test_sampling_repeats_with_a_seed(model: CausalLM, tokenizer: Any) -> None:
    ids = tokenizer(PROMPT, return_tensors="np").input_ids

    def sample() -> list[list[int]]:
        return model.generate(
            ids, do_sample=True, max_new_tokens=12, num_return_sequences=4, temperature=1.5
        ).tolist()

    halfbyte.set_seed(5)
    first, other = sample(), sample()
    halfbyte.set_seed(5)
    assert sample() == first != other
    assert len({tuple(row) for row in first}) > 1


def test_what_a_call_states_goes_before_a_config_before_the_model(tiny: CausalLM) -> None:
    ids = np.array([[1, 300]])
    config = GenerationConfig(max_new_tokens=3, num_return_sequences=1)
    assert tiny.generate(ids, config).shape == (1, 5)
    assert tiny.generate(ids, config, max_new_tokens=7).shape == (1, 9)
    assert tiny.generate(ids, {"max_new_tokens": 2}).shape == (1, 4)
    own, tiny.generation_config = tiny.generation_config, GenerationConfig(max_length=4)
    try:
        assert tiny.generate(ids).shape == (1, 4)
    finally:
        tiny.generation_config = own


def test_empty_lists_of_processors_are_none(tiny: CausalLM) -> None:
    none: dict[str, Any] = {"logits_processor": [], "stopping_criteria": ()}
    assert tiny.generate(np.array([[1, 300]]), max_new_tokens=3, **none).shape == (1, 5)


def test_transformers_own_config_object(tiny: CausalLM) -> None:
    class Foreign:
        def to_dict(self) -> dict[str, Any]:
            return {"max_new_tokens": 3, "num_beams": 1, "_from_model_config": True,
                    "transformers_version": "5.0", "typical_p": None}  # fmt: skip

    assert tiny.generate(np.array([[1, 300]]), Foreign()).shape == (1, 5)


def test_without_a_length_it_says_so(tiny: CausalLM, caplog: pytest.LogCaptureFixture) -> None:
    assert tiny.generate(np.array([[1, 300]]), eos_token_id=None).shape == (1, 22)
    assert "neither max_new_tokens nor max_length: at most 20 tokens" in caplog.text


def test_the_context_ends_an_answer_and_says_so(
    tiny: CausalLM, caplog: pytest.LogCaptureFixture
) -> None:
    n_ctx = tiny.config.max_position_embeddings
    ids = np.full((1, n_ctx - 2), 300)
    out = tiny.generate(ids, max_new_tokens=9, eos_token_id=None)
    assert out.shape == (1, n_ctx)
    assert "context" in caplog.text
    with pytest.raises(ContextLengthError):
        tiny.generate(np.full((1, n_ctx), 300), max_new_tokens=1)


def test_a_dict_on_request(tiny: CausalLM) -> None:
    out = tiny.generate(np.array([[1]]), max_new_tokens=2, return_dict_in_generate=True)
    assert out.sequences.shape == (1, 3)


WRONG = {
    "guidance_scale": (1.5, "None (halfbyte has no other)"),
    "max_new_token": (4, "did you mean max_new_tokens?"),
    "max_new_tokens": (0, "a whole number from 1"),
    "max_length": (2, "more than the prompt's 2 tokens"),
    "temperature": ("hot", "a number from 0"),
    "do_sample": ("yes", "True or False"),
    "eos_token_id": ([-1], "a whole number from 0"),
    "num_return_sequences": (2, "1 without do_sample=True or num_beams"),
    "stop_strings": ([""], "not empty"),
    "logits_processor": ([3], "a list of functions of (input_ids, scores)"),
    "stopping_criteria": ((3,), "as a StoppingCriteriaList is"),
    "attention_mask": ([[1]], "shape (1, 2)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_supported_is_refused(tiny: CausalLM, name: str) -> None:
    value, said = WRONG[name]
    with pytest.raises(RequestError) as caught:
        tiny.generate(np.array([[1, 300]]), **{name: value})
    assert name in caught.value.param or name in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "inputs",
    [[1, 2], [[]], [[1.5]], [[1], [1, 2]], [[-1]], [[323]], "text", [[1, "a"]], np.zeros((1, 1))],
    ids=repr,
)
def test_inputs_of_another_kind(tiny: CausalLM, inputs: Any) -> None:
    with pytest.raises(RequestError, match="inputs"):
        tiny.generate(inputs, max_new_tokens=1)


@pytest.mark.parametrize("mask", [[[1, 0]], [[1, 0, 1]], [[0, 0]]])
def test_padding_elsewhere_than_on_the_left(tiny: CausalLM, mask: list[list[int]]) -> None:
    ids = np.full((1, len(mask[0])), 300)
    with pytest.raises(RequestError, match="padding_side='left'"):
        tiny.generate(ids, attention_mask=mask, max_new_tokens=1)


class _Recorder:
    def __init__(self) -> None:
        self.got: list[Any] = []

    def put(self, value: Any) -> None:
        self.got.append(value.tolist())

    def end(self) -> None:
        self.got.append("end")


def test_a_streamer_gets_the_prompt_each_token_and_the_end(tiny: CausalLM) -> None:
    recorder = _Recorder()
    out = tiny.generate(np.array([[1, 300]]), max_new_tokens=3, streamer=recorder)[0].tolist()
    assert recorder.got == [[[1, 300]], [out[2]], [out[3]], [out[4]], "end"]


def test_a_streamer_ends_when_generate_fails(tiny: CausalLM) -> None:
    for wrong in ({"max_new_tokens": 0}, {"do_sample": True, "num_return_sequences": 2}):
        recorder = _Recorder()
        with pytest.raises(RequestError):
            tiny.generate(np.array([[1, 300]]), streamer=recorder, **wrong)
        assert recorder.got == ["end"]


def test_text_streamers(
    model: CausalLM, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tokenizer(PROMPT, return_tensors="np")
    out = model.generate(
        **inputs, max_new_tokens=24, streamer=halfbyte.TextStreamer(tokenizer, skip_prompt=True)
    )
    whole = tokenizer.decode(out[0])
    expected = whole[len(tokenizer.decode(inputs.input_ids[0])) :]
    assert capsys.readouterr().out == expected + "\n"

    streamer = halfbyte.TextIteratorStreamer(tokenizer, timeout=60)
    thread = threading.Thread(
        target=model.generate, kwargs={**inputs, "max_new_tokens": 24, "streamer": streamer}
    )
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == whole
    assert len([piece for piece in pieces if piece]) > 4


def test_torch_in_torch_out(tiny: CausalLM) -> None:
    torch = pytest.importorskip("torch")
    ids = torch.tensor([[1, 300]])
    out = tiny.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3)
    assert out.dtype == torch.int64
    assert out.tolist() == tiny.generate(np.array([[1, 300]]), max_new_tokens=3).tolist()


def test_arguments_of_from_pretrained(
    tiny_gguf: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.WARNING)
    quiet = {"dtype": "auto", "torch_dtype": None, "device_map": "auto", "low_cpu_mem_usage": True,
             "trust_remote_code": True, "attn_implementation": "sdpa"}  # fmt: skip
    with LlamaForCausalLM.from_pretrained(tiny_gguf, threads=1, ctx=64, **quiet) as model:
        assert model.model.n_threads == 1 and model.model.n_ctx == 64
        assert model.eval().to("cpu") is model and model.can_generate()
    assert not caplog.records
    with AutoModelForCausalLM.from_pretrained(tiny_gguf, device_map=0, dtype="float16"):
        pass
    assert "device_map=0" in caplog.text and "dtype=float16" in caplog.text
    with AutoModelForCausalLM.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name) as model:
        assert model.model.path == str(tiny_gguf)
    for name in ("load_in_4bit", "quantization_config", "output_loading_info", "revision"):
        with pytest.raises(RequestError, match=name):
            AutoModelForCausalLM.from_pretrained(tiny_gguf, **{name: True})


def test_a_config_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.6, "eos_token_id": [2, 7], "_x": 1}'
    )
    config = GenerationConfig.from_pretrained(tmp_path)
    assert config.to_dict() == {"do_sample": True, "temperature": 0.6, "eos_token_id": [2, 7]}
    with pytest.raises(halfbyte.ModelFileError):
        GenerationConfig.from_pretrained(tmp_path / "none")


def test_checkers_know_every_name_of_a_configuration() -> None:
    """What else they know may be left off, and is taken at run time."""
    options, known = get_type_hints(GenerateOptions), get_type_hints(GenerationConfig)
    assert {name: options.get(name) for name in known} == known
    off = {"cache_implementation": "static", "use_cache": False}
    off |= dict.fromkeys(options.keys() - known.keys() - off.keys())
    assert GenerationConfig(**off) == GenerationConfig()


def test_checkers_know_what_loading_and_pipelines_take(tiny_gguf: Path) -> None:
    """Every name that a checker knows is taken at run time, off or as it is by default."""
    off: dict[str, Any] = dict.fromkeys(get_type_hints(ModelOptions))
    off |= {"kv_type": "f16", "arithmetic": "int8", "subfolder": ""}
    off |= {"force_download": False, "revision": "main"}
    with AutoModelForCausalLM.from_pretrained(tiny_gguf, **off) as model:
        assert model.model.path == str(tiny_gguf)
    known = get_type_hints(PipelineOptions).keys()
    own = {*pipelines._OWN, *pipelines._ENCODE, *PLACES, *pipelines._WITHOUT_EFFECT}
    assert own <= known
    others = dict.fromkeys(known - get_type_hints(GenerateOptions).keys() - own)
    assert others.keys() == {
        "generation_config", "return_full_text", "return_tensors", "return_text", "return_type",
        "revision", "stop_sequence", "token", "tokenizer_encode_kwargs",
    }  # fmt: skip
