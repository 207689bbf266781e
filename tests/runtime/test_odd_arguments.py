"""Arguments of odd types are RequestErrors that name them, whatever is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.quality.texts import token_windows

RAGGED = np.array([[1], [2, 3]], object)
MIXED = np.array([1, "a"], object)
FLAT = np.array(1)
ODD: list[Any] = [
    None,
    1.5,
    "x",
    b"x",
    [],
    object(),
    FLAT,
    MIXED,
    RAGGED,
    {"a": 1},
    [[1, 2]],
    ["a"],
]


@pytest.mark.parametrize("value", [*ODD, [1, [2]], np.array([1.5]), np.array([[1, 2]])])
def test_ids(infill_model: halfbyte.Model, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.logits(value)
    assert caught.value.param.startswith("ids")


@pytest.mark.parametrize("value", [RAGGED, MIXED, FLAT, [1, "a"], ["a", 1], [None], ["a", FLAT]])
def test_prompts(infill_model: halfbyte.Model, value: Any) -> None:
    if value is RAGGED:  # two prompts
        assert len(infill_model.complete(value, max_tokens=1)) == 2
        return
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.complete(value)
    assert caught.value.param.startswith("prompt")


@pytest.mark.parametrize("value", [None, 1.5, "x", [1.5], [None], FLAT, MIXED, [[1]]])
def test_decoding(infill_model: halfbyte.Model, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError):
        infill_model.tokenizer.decode(value)


@pytest.mark.parametrize("value", [None, 1.5, "x", [1], True])
def test_single_tokens(infill_model: halfbyte.Model, value: Any) -> None:
    for call in (infill_model.tokenizer.token_bytes, infill_model.tokenizer.piece):
        with pytest.raises(halfbyte.RequestError, match="token: expected a token id"):
            call(value)


@pytest.mark.parametrize("value", [None, 5, b"x", ["x"]])
def test_texts(infill_model: halfbyte.Model, value: Any) -> None:
    tokenizer = infill_model.tokenizer
    for call in (tokenizer.encode, tokenizer.id_of, halfbyte.Tokenizer.from_path, halfbyte.pull):
        with pytest.raises(halfbyte.RequestError):
            call(value)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b"], ids=["long", "null"])
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(halfbyte.ModelFileError):
        halfbyte.Tokenizer.from_path(path)


@pytest.mark.parametrize("value", [None, [], {}, FLAT, b"f16"])
def test_loading(value: Any) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        halfbyte.load("infill-10m", kv_type=value)
    assert caught.value.param == "kv_type"


def test_sampling_and_the_rest(infill_model: halfbyte.Model) -> None:
    for name in ("stop", "stop_tokens"):
        with pytest.raises(halfbyte.RequestError, match=name):
            halfbyte.SamplingParams(**{name: FLAT})
    for odd in (None, 1.5, -1, "x"):
        with pytest.raises(halfbyte.RequestError, match="n_positions"):
            infill_model.kv_nbytes(odd)
    with pytest.raises(halfbyte.RequestError, match="window: expected a whole number from 2"):
        token_windows(infill_model.tokenizer, "x = 1", 1)


def test_a_closed_model_has_a_repr() -> None:
    model = halfbyte.load("infill-10m", threads=1)
    model.close()
    assert repr(model).endswith(", vocabulary 8016, closed>")


@pytest.mark.parametrize("value", [5, None, b"x", ["x"]])
def test_paths_of_what_transformers_names(value: Any) -> None:
    for call in (
        halfbyte.AutoModelForCausalLM.from_pretrained,
        halfbyte.AutoTokenizer.from_pretrained,
        halfbyte.AutoConfig.from_pretrained,
        halfbyte.GenerationConfig.from_pretrained,
        halfbyte.CodeLlamaTokenizer,
    ):
        with pytest.raises(halfbyte.RequestError, match="expected a path"):
            call(value)


def test_a_generation_config_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"generation_config\.json"):
        halfbyte.GenerationConfig.from_pretrained("no/such/folder")


def test_parameters_of_a_closed_model() -> None:
    model = halfbyte.AutoModelForCausalLM.from_pretrained("infill-10m")
    model.close()
    with pytest.raises(halfbyte.EngineError, match="closed"):
        model.num_parameters()


class NoTruth:
    def __repr__(self) -> str:
        return "NoTruth"

    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


PAIR = np.array([1, 2])  # whose truth and whose equality NumPy refuses
CHAT = [{"role": "user", "content": "x"}]
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize("value", [PAIR, NoTruth(), "no", 1, FLAT, []], ids=repr)
def test_flags(infill_model: halfbyte.Model, value: Any) -> None:
    model, tokenizer = infill_model, infill_model.tokenizer
    ways: list[tuple[Any, tuple[Any, ...], str]] = [
        *((model.complete, ("x",), name) for name in ("heal", "parse_markers")),
        *((model.stream, ("x",), name) for name in ("heal", "parse_markers")),
        *((model.infill, ("x", ""), name) for name in ("heal", "parse_markers", "force")),
        (model.chat, (CHAT,), "parse_markers"),
        *((tokenizer.encode, ("x",), name) for name in ("add_bos", "parse_markers")),
        (tokenizer.encode_fragment, ("x",), "parse_markers"),
        (tokenizer.decode, ([5],), "strip_prefix_space"),
        (halfbyte.pull, ("infill-10m",), "force"),
        *((halfbyte.convert, ("x", "y"), name) for name in ("pure", "measure", "force")),
    ]
    for call, arguments, name in ways:
        with pytest.raises(halfbyte.RequestError) as caught:
            call(*arguments, **{name: value})
        assert caught.value.param == name


def test_flags_of_numpy(infill_model: halfbyte.Model) -> None:
    plain = infill_model.tokenizer.encode("x", add_bos=False)
    assert infill_model.tokenizer.encode("x", add_bos=np.bool_(False)) == plain


@pytest.mark.parametrize("value", [PAIR, NoTruth(), None, b"psm", FLAT], ids=repr)
def test_choices(infill_model: halfbyte.Model, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError, match="order: expected one of auto, psm, spm"):
        infill_model.infill("x", "", order=value)
    with pytest.raises(halfbyte.RequestError, match="format: expected one of"):
        infill_model.chat(CHAT, format=value)


@pytest.mark.parametrize("value", [PAIR, NoTruth(), 1, "x", []], ids=repr)
def test_progress(infill_model: halfbyte.Model, value: Any) -> None:
    model = infill_model
    for call, arguments in (
        (model.complete, ("x",)), (model.stream, ("x",)), (model.infill, ("x", "")),
        (model.chat, (CHAT,)), (halfbyte.load, ("infill-10m",)), (halfbyte.pull, ("infill-10m",)),
        (halfbyte.convert, ("x", "y")),
    ):  # fmt: skip
        with pytest.raises(halfbyte.RequestError, match="progress: expected a function"):
            call(*arguments, progress=value)  # type: ignore[operator]


def test_what_holds_itself(infill_model: halfbyte.Model) -> None:
    cycle: dict[str, Any] = {**CHAT[0]}
    cycle["more"] = cycle
    many: Any = "x"
    for _ in range(64):  # 2**64 ways to its only text
        many = [many, many]
    for messages in (LOOP, [LOOP], [{"role": LOOP, "content": LOOP}], many, cycle):
        with pytest.raises(halfbyte.RequestError) as caught:
            infill_model.chat(messages)
        assert caught.value.param.startswith("messages")
    assert infill_model.chat([cycle], format="llama-2", max_tokens=1).tokens
    with pytest.raises(halfbyte.RequestError, match="prompt"):
        infill_model.complete(LOOP)


def test_tokenizers_of_nothing() -> None:
    for value in (None, "x", PAIR):
        with pytest.raises(halfbyte.RequestError, match="vocabulary"):
            halfbyte.Tokenizer(value)  # type: ignore[arg-type]
        with pytest.raises(halfbyte.RequestError, match="file"):
            halfbyte.Tokenizer.from_gguf(value)  # type: ignore[arg-type]


def test_spans(infill_model: halfbyte.Model) -> None:
    for value in (1, [1], [(1,)], ["ab"], PAIR, FLAT, [(1, None)]):
        with pytest.raises(halfbyte.RequestError, match="spans"):
            infill_model.tokenizer.encode_rendered("x", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.5, b"x", PAIR, "a\0b", "\ud800", LOOP, 2], ids=repr)
def test_conversions(value: Any) -> None:
    for name in ("dst", "imatrix", "save_imatrix", "report", "calibrate"):
        with pytest.raises(halfbyte.RequestError) as caught:
            halfbyte.convert("infill-10m", **{name: value})
        assert caught.value.param == name


def test_names_and_threads_of_conversions() -> None:
    for name, value in (("name", 5), ("name", b"x"), ("threads", 0), ("threads", "x")):
        with pytest.raises(halfbyte.RequestError) as caught:
            halfbyte.convert("infill-10m", "x.gguf", **{name: value})  # type: ignore[arg-type]
        assert caught.value.param == name


def test_what_has_no_repr() -> None:
    for value in (10**5000, NoRepr()):
        text = str(halfbyte.RequestError("x", expected="y", got=value))
        assert type(value).__name__ in text


class NoRepr:
    def __repr__(self) -> str:
        raise ValueError("none")


class Hostile:
    """Nothing can be asked of it."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]


KEYWORDS = [
    "adapter", "bad_words", "banned_strings", "choices", "early_stopping", "json_schema",
    "logit_bias", "logits_processor", "logprobs", "logprobs_of", "max_time", "max_tokens", "n",
    "num_beams", "parse_markers", "priority", "regex", "samplers", "seed", "stop", "stop_brackets",
    "stop_indent", "stop_tokens", "syntax", "temperature", "timeout", "top_k",
]  # fmt: skip


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords(infill_model: halfbyte.Model, name: str) -> None:
    for value in (Hostile(), FLAT, np.array([1.5, 2.5]), 10**5000, float("nan")):
        if (name in ("max_tokens", "seed", "top_k")) and isinstance(value, int):
            continue
        with pytest.raises(halfbyte.RequestError, match=name) as caught:
            infill_model.complete("x", **{name: value})
        assert name in caught.value.param
