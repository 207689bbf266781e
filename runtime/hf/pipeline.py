"""`pipeline("text-generation", model=...)`: texts or chats in, texts or chats out.

What a prompt's answer is, is taken from the text of prompt and answer together: so its first space
is kept, which decoding the answer alone would lose.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from halfbyte.call_arguments import check_flag
from halfbyte.errors import RequestError
from halfbyte.hf.answer_plan import Answer
from halfbyte.hf.arguments import check_count, is_same, one_of
from halfbyte.hf.auto_model import PLACES, CausalLM, check_places
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.hf.generation import read_batch
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.generation_names import SAMPLING
from halfbyte.hf.keywords import CallOptions, PipelineOptions
from halfbyte.hf.streamers import check_streamer
from halfbyte.hf.tokenizer import PreTrainedTokenizer
from halfbyte.hf.tokenizer.encode_options import TRUNCATION
from halfbyte.lazy_dataclass import dataclass
from halfbyte.models import DEFAULT_MODEL
from halfbyte.tokenizer.tokenizer import check_text

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack

log = logging.getLogger(__name__)

TASK = "text-generation"
# Where neither the call nor the model states a value.
DEFAULTS = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}

_TENSORS, _NEW_TEXT, _FULL_TEXT = 0, 1, 2  # transformers' numbers for return_type
# Arguments of a call that are neither for encoding nor for `generate`.
_OWN = (
    "prefix", "tools", "documents", "continue_final_message", "streamer", "batch_size",
    "skip_special_tokens", "clean_up_tokenization_spaces",
)  # fmt: skip
_FLAGS = (
    "continue_final_message", "skip_special_tokens", "clean_up_tokenization_spaces",
    "return_full_text", "return_text", "return_tensors",
)  # fmt: skip
_ENCODE = ("add_special_tokens", "truncation", "padding")
# Arguments of transformers' pipeline that mean nothing here, with what leaves them off.
_ABSENT: dict[str, object] = {
    "config": None, "feature_extractor": None, "image_processor": None, "processor": None,
    "video_processor": None, "pipeline_class": None, "framework": None, "revision": None,
    "token": None, "binary_output": False, "num_workers": None,
}  # fmt: skip
_WITHOUT_EFFECT = ("trust_remote_code", "use_fast")


def pipeline(
    task: str | None = None,
    model: Any = None,
    tokenizer: Any = None,
    *,
    model_kwargs: Mapping[str, Any] | None = None,
    **arguments: Unpack[PipelineOptions],
) -> TextGenerationPipeline:
    """A pipeline that generates text.

    Args:
        task: "text-generation", or None.
        model: whatever `halfbyte.load` takes, or what AutoModelForCausalLM gave; default: the
            catalogue's first model.
        tokenizer: a name or path, or a tokenizer; default: the model's own.
        model_kwargs: more arguments for CausalLM.from_pretrained.
        arguments: those of a call of the pipeline, for every call. `device`, `device_map`, `dtype`
            and `torch_dtype` may be given, see CausalLM.from_pretrained; so may, without effect,
            `trust_remote_code` (no code is ever loaded) and `use_fast` (there is one tokenizer).

    Raises:
        RequestError: another task, or an argument that is not supported.
        HalfbyteError: the model cannot be loaded.
    """
    if not (task is None or is_same(task, TASK)):
        raise RequestError("task", expected=repr(TASK), got=repr(task))
    given: dict[str, Any] = {**arguments}
    for name, off in _ABSENT.items():
        value = given.pop(name, None)
        if not (value is None or is_same(value, off)):
            raise RequestError(name, expected="nothing: it has no meaning here", got=value)
    check_places({name: given.pop(name) for name in PLACES if name in given})
    for name in _WITHOUT_EFFECT:
        given.pop(name, None)
    if model is None:
        log.warning("no model is named: taking %s", DEFAULT_MODEL)
        model = DEFAULT_MODEL
    source = model
    if model_kwargs is not None and not isinstance(model_kwargs, Mapping):
        raise RequestError("model_kwargs", expected="a mapping of names", got=repr(model_kwargs))
    if isinstance(model, CausalLM):
        source = model.name_or_path
    else:
        model = CausalLM.from_pretrained(model, **(model_kwargs or {}))
    tokenizer = source if tokenizer is None else tokenizer
    if isinstance(tokenizer, (str, os.PathLike)):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    return TextGenerationPipeline(model, tokenizer, **given)


class TextGenerationPipeline:
    """Continues texts and chats.

    Args:
        model: what generates.
        tokenizer: its tokenizer.
        arguments: those of a call, for every call.

    Raises:
        RequestError: an argument that is not supported.
    """

    task = TASK

    def __init__(
        self, model: CausalLM, tokenizer: PreTrainedTokenizer, **arguments: Unpack[CallOptions]
    ) -> None:
        for name, value, kind in (
            ("model", model, CausalLM), ("tokenizer", tokenizer, PreTrainedTokenizer),
        ):  # fmt: skip
            if not isinstance(value, kind):
                raise RequestError(name, expected=f"a {kind.__name__}", got=repr(value))
        self.model, self.tokenizer = model, tokenizer
        self._arguments = arguments
        _Call.read(arguments, model)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task}: {self.model!r}>"

    def __call__(self, text_inputs: Any, **arguments: Unpack[CallOptions]) -> Any:
        """The prompts with their answers.

        Args:
            text_inputs: a text, or a chat (messages with `role` and `content`), or a list or a
                generator of either.
            arguments: `return_full_text` (default True: the prompt stands before the answer),
                `return_text`, `return_tensors` (ids instead of text), `return_type`,
                `clean_up_tokenization_spaces`, `skip_special_tokens`, `prefix` (put before each
                text), `stop_sequence`, `add_special_tokens`, `truncation`, `max_length`,
                `tokenizer_encode_kwargs`, `continue_final_message`, `tools`, `documents`,
                `batch_size` (rows decoded together; has no effect on what they say), and what
                `generate` takes.

        Returns:
            a list of {"generated_text": text or chat} or {"generated_token_ids": ids}, one for
            each of `num_return_sequences`; a list of such lists for a list of prompts; an
            iterator of them for a generator.

        Raises:
            RequestError: an argument that is not supported, or a prompt of another kind.
        """
        call = _Call.read({**self._arguments, **arguments}, self.model)
        if isinstance(text_inputs, str):
            return self._run([text_inputs], call)[0]
        if isinstance(text_inputs, Sequence) and not isinstance(text_inputs, bytes):
            if not text_inputs:
                return []
            if isinstance(text_inputs[0], Mapping):
                return self._run([_prompt(list(text_inputs))], call)[0]
            return self._run([_prompt(item) for item in text_inputs], call)
        if isinstance(text_inputs, Iterator):
            return (self._run([_prompt(item)], call)[0] for item in text_inputs)
        raise RequestError("text_inputs", expected="texts or chats", got=repr(text_inputs))

    def _run(self, prompts: Sequence[_Prompt], call: _Call) -> list[list[dict[str, Any]]]:
        """A list of records for each prompt."""
        try:
            vocab_size = self.model.config.vocab_size
            unpadded = replace(call.config, pad_token_id=None)  # every id of a prompt is its own
            batches = [
                read_batch([ids] if ids else None, None, unpadded, vocab_size)
                for ids in (self._ids(prompt, call) for prompt in prompts)
            ]
            plans = [self.model.plan(batch, call.config) for batch in batches]
            size = call.batch_size or len(prompts)
            for begin in range(0, len(prompts), size):
                self.model.run(plans[begin : begin + size], call.streamer)
        finally:
            if call.streamer is not None:
                call.streamer.end()
        return [
            [self._record(prompt, answer, call) for answer in plan.answers]
            for prompt, plan in zip(prompts, plans, strict=True)
        ]

    def _ids(self, prompt: _Prompt, call: _Call) -> list[int]:
        """A prompt's ids."""
        options = dict(call.encode)
        if isinstance(prompt, str):
            return list(self.tokenizer(call.prefix + prompt, **options)["input_ids"])
        options.pop("add_special_tokens", None)
        goes_on = call.goes_on(prompt)
        encoding = self.tokenizer.apply_chat_template(
            prompt, add_generation_prompt=not goes_on, continue_final_message=goes_on,
            return_dict=True, tools=call.tools, documents=call.documents, **options,
        )  # fmt: skip
        return list(encoding["input_ids"])

    def _record(self, prompt: _Prompt, row: Answer, call: _Call) -> dict[str, Any]:
        """An answer as the caller wants it."""
        if call.return_type == _TENSORS:
            return {"generated_token_ids": [*row.prompt, *row.tokens]}
        text = self._text([*row.prompt, *row.tokens], call)
        new = text[len(self._text(list(row.prompt), call)) :]
        if call.return_type == _NEW_TEXT:
            return {"generated_text": new}
        if isinstance(prompt, str):
            return {"generated_text": prompt + new}
        *before, last = prompt
        if call.goes_on(prompt):
            return {"generated_text": [*before, {**last, "content": last["content"] + new}]}
        return {"generated_text": [*prompt, {"role": "assistant", "content": new}]}

    def _text(self, ids: list[int], call: _Call) -> str:
        skips, cleans = call.skip_special_tokens, call.clean_up_tokenization_spaces
        return self.tokenizer.decode(ids, skips, cleans)


_Prompt = str | list[dict[str, Any]]


@dataclass(slots=True)
class _Call:
    """The arguments of a call: for encoding, for generating, for the records."""

    encode: dict[str, Any]
    config: GenerationConfig
    return_type: int
    prefix: str = ""
    tools: Any = None
    documents: Any = None
    continue_final_message: bool | None = None
    streamer: Any = None
    batch_size: int | None = None
    skip_special_tokens: bool = True
    clean_up_tokenization_spaces: bool | None = None

    @classmethod
    def read(cls, arguments: Mapping[str, Any], model: CausalLM) -> _Call:
        """A call's arguments, checked; those that are no one else's are for `generate`."""
        given = {name: value for name, value in arguments.items() if value is not None}
        own = {name: given.pop(name) for name in _OWN if name in given}
        check_count("batch_size", own.get("batch_size"), 1)
        check_text(own.get("prefix", ""), "prefix")
        check_streamer(own.get("streamer"))
        for name in _FLAGS:
            if given.get(name, own.get(name)) is not None:
                check_flag(name, given.get(name, own.get(name)))
        encode = {name: given.pop(name) for name in _ENCODE if name in given}
        one_of("truncation", encode.get("truncation"), TRUNCATION)
        if encode.get("truncation") and "max_length" in given:
            encode["max_length"] = given["max_length"]
        more = given.pop("tokenizer_encode_kwargs", {})
        if not isinstance(more, Mapping) or not all(isinstance(name, str) for name in more):
            expected = "a mapping of names"
            raise RequestError("tokenizer_encode_kwargs", expected=expected, got=repr(more))
        encode |= more
        return_type = _return_type(given)
        if given.pop("handle_long_generation", None) is not None:
            raise RequestError("handle_long_generation", expected="None", hint="shorten the text")
        if "stop_sequence" in given:
            given["stop_strings"] = given.pop("stop_sequence")
        if "eos_token_id" in arguments:
            given["eos_token_id"] = arguments["eos_token_id"]  # None: nothing ends an answer
        config = model.configure(given.pop("generation_config", None), given)
        if config.return_dict_in_generate:
            expected, hint = "False in a pipeline", "model.generate gives scores and states"
            raise RequestError("return_dict_in_generate", expected=expected, got=True, hint=hint)
        return cls(encode, _with_defaults(config), return_type, **own)

    def goes_on(self, chat: _Prompt) -> bool:
        """Whether an answer goes on with the last message instead of beginning one."""
        stated = self.continue_final_message
        return chat[-1]["role"] == "assistant" if stated is None else stated  # type: ignore[index]


def _with_defaults(config: GenerationConfig) -> GenerationConfig:
    """The same with the pipeline's defaults where neither the call nor the model states a value."""
    defaults: dict[str, Any] = dict(DEFAULTS)
    if config.max_length is not None:
        del defaults["max_new_tokens"]
    if config.do_sample is False:
        defaults = {name: v for name, v in defaults.items() if name not in SAMPLING}
    return config.over(GenerationConfig(**defaults))


def _return_type(given: dict[str, Any]) -> int:
    """What a record holds; takes the arguments that say so out of `given`."""
    stated = given.pop("return_type", None)
    names = ("return_full_text", "return_text", "return_tensors")
    asked = {name: given.pop(name) for name in names if name in given}
    if stated is not None:
        if not any(is_same(stated, known) for known in (_TENSORS, _NEW_TEXT, _FULL_TEXT)):
            expected = "0 (ids), 1 (new text) or 2 (full text)"
            raise RequestError("return_type", expected=expected, got=repr(stated))
        return int(stated)
    if len(asked) > 1:
        raise RequestError(", ".join(asked), expected="one of these")
    if asked.get("return_tensors"):
        return _TENSORS
    return _FULL_TEXT if asked.get("return_full_text", True) else _NEW_TEXT


def _prompt(value: Any) -> _Prompt:
    if isinstance(value, str):
        return value
    if not isinstance(value, (list, tuple)):
        raise RequestError("text_inputs", expected="a text or a chat", got=repr(value))
    for message in value:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise RequestError(
                "text_inputs", expected="messages with role and content", got=repr(message)
            )
    if not value:
        raise RequestError("text_inputs", expected="at least one message", got="an empty chat")
    return [dict(message) for message in value]
