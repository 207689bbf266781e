"""Conversations as text, by a model's Jinja template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halfbyte.errors import RequestError


def take_encode_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take what EncodeOptions are given out of the options of `apply_chat_template`.

    Special tokens are those that the template writes.
    """
    if options.pop("return_assistant_tokens_mask", False):  # who wrote which is not told here
        raise RequestError("return_assistant_tokens_mask", expected="False", got=True)
    names = ("padding", "truncation", "max_length", "return_tensors")
    stated = {name: options.pop(name) for name in names if name in options}
    more = options.pop("tokenizer_kwargs", None) or {}
    return {"truncation": False, **stated, **more, "add_special_tokens": False}


def read_templates(value: Any) -> Any:
    """A chat template, or several by name, as a list in files; raises RequestError otherwise."""
    if value is None or isinstance(value, str):
        return value
    named = value
    if isinstance(value, (list, tuple)) and all(isinstance(t, Mapping) for t in value):
        named = {str(t.get("name")): t.get("template") for t in value}
    if isinstance(named, Mapping) and all(isinstance(text, str) for text in named.values()):
        return named
    raise RequestError("chat_template", expected="a text, or texts by name", got=repr(value))


def saved_templates(templates: Any) -> dict[str, Any]:
    """What files say of them: nothing, where there are none."""
    if isinstance(templates, Mapping):
        templates = [{"name": name, "template": text} for name, text in templates.items()]
    return {} if templates is None else {"chat_template": templates}


def choose_template(known: Any, asked: str | None, has_tools: bool) -> str:
    """The Jinja source that is asked for, or the default; raises RequestError for lack of one."""
    if isinstance(known, Mapping):
        default = "tool_use" if has_tools and "tool_use" in known else "default"
        name = default if asked is None else asked
        if name in known:
            return str(known[name])
        if asked is None:
            names = ", ".join(sorted(known))
            raise RequestError("chat_template", expected=f"one of {names}", got="no default")
    source = known if asked is None else asked
    if not isinstance(source, str):
        raise RequestError(
            "chat_template", expected="a template", got="none",
            hint="base models have none: pass one, or set tokenizer.chat_template",
        )  # fmt: skip
    return source


def split_batch(value: Any) -> tuple[list[Sequence[Any]], bool]:
    """The conversations, and whether there may be several; raises RequestError for others."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        if all(isinstance(item, Mapping) for item in value):
            return [value], False
        if all(isinstance(item, (list, tuple)) for item in value):
            return list(value), True
    raise RequestError(
        "conversation", expected='a list of {"role": ..., "content": ...}', got=repr(value)
    )


def render(
    source: str, name: str, conversations: Sequence[Sequence[Any]], variables: Mapping[str, Any],
    *, goes_on: bool,
) -> list[str]:  # fmt: skip
    """The texts of conversations, up to the end of the last message where it goes on.

    Raises RequestError where the template does not show that message, and as ChatTemplate does,
    which errors call `name`.
    """
    if goes_on and variables["add_generation_prompt"]:
        raise RequestError(
            "continue_final_message", expected="False where add_generation_prompt is True"
        )
    from halfbyte.prompt.template import ChatTemplate  # jinja2 takes a while to import

    template = ChatTemplate(source, path=name or "chat_template")
    texts = [template.render(messages, **variables) for messages in conversations]
    if not goes_on:
        return texts
    return [_up_to_last(text, c) for text, c in zip(texts, conversations, strict=True)]


def _up_to_last(text: str, messages: Sequence[Any]) -> str:
    """A rendered conversation up to the end of its last message."""
    content = messages[-1].get("content") if messages else ""
    if isinstance(content, (list, tuple)):
        content = content[-1].get("text") if content else ""
    last = content.strip() if isinstance(content, str) else ""
    end = text.rfind(last)
    if not last or end < 0:
        raise RequestError(
            "continue_final_message", expected="a template that shows the last message"
        )
    return text[: end + len(last)].rstrip()
