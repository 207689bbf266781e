"""Conversations to text and ids, by a model's Jinja template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from halfbyte.hf.batch import BatchEncoding
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_encoding import TextEncoding

if TYPE_CHECKING:
    from halfbyte.prompt.template import ChatTemplate


class ChatEncoding(TextEncoding):
    """`apply_chat_template` and what belongs to it.

    Attributes:
        chat_template: Jinja source, several of them by name, or None.
    """

    chat_template: Any
    name_or_path: str
    # What makes a text's ids those of plain text.
    _plain_options: ClassVar[Mapping[str, Any]] = {}

    def apply_chat_template(
        self, conversation: Sequence[Any], tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None, chat_template: str | None = None,
        add_generation_prompt: bool = False, continue_final_message: bool = False,
        tokenize: bool = True, padding: bool | str = False, truncation: bool | str = False,
        max_length: int | None = None, return_tensors: str | None = None,
        return_dict: bool = False, return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None, **variables: Any,
    ) -> Any:  # fmt: skip
        """A conversation as the text or the ids that the model was trained on.

        Special tokens are those that the template writes; none are added.

        Args:
            conversation: messages with `role` and `content`, or a list of conversations.
            tools: for the template, as JSON objects.
            documents: for the template, as JSON objects.
            chat_template: Jinja source, or the name of one of the model's templates.
            add_generation_prompt: end with what begins an answer.
            continue_final_message: end within the last message, for the model to go on.
            tokenize: ids rather than text.
            padding: see EncodeOptions.
            truncation: see EncodeOptions.
            max_length: see EncodeOptions.
            return_tensors: see EncodeOptions.
            return_dict: the whole encoding rather than the ids.
            return_assistant_tokens_mask: False; which tokens an assistant wrote is not told here.
            tokenizer_kwargs: more options of the encoding.
            variables: for the template.

        Returns:
            The text, the ids or the encoding; a list of them for a list of conversations.

        Raises:
            RequestError: options that exclude each other, or no template.
            TemplateError: the template does not compile, or fails.
        """
        if return_dict and not tokenize:
            raise ArgumentError("return_dict", expected="False where tokenize is False")
        if continue_final_message and add_generation_prompt:
            raise ArgumentError(
                "continue_final_message", expected="False where add_generation_prompt is True"
            )
        if return_assistant_tokens_mask:
            raise ArgumentError("return_assistant_tokens_mask", expected="False", got=True)
        given = {**self.special_tokens_map, "tools": tools, "documents": documents, **variables}
        given["add_generation_prompt"] = add_generation_prompt
        conversations, is_batch = _conversations(conversation)
        template = self._compiled(self.get_chat_template(chat_template, tools))
        texts = [template.render(messages, **given) for messages in conversations]
        if continue_final_message:
            texts = [_up_to_last(text, c) for text, c in zip(texts, conversations, strict=True)]
        if not tokenize:
            return texts if is_batch else texts[0]
        encoded = self._encode_rendered(texts, is_batch, {
            "padding": padding, "truncation": truncation, "max_length": max_length,
            "return_tensors": return_tensors, **(tokenizer_kwargs or {}),
        })  # fmt: skip
        return encoded if return_dict else encoded["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """The Jinja source that `apply_chat_template` uses.

        Raises:
            RequestError: there is none, or several without one that is the default.
        """
        known = self.chat_template
        if isinstance(known, Mapping):
            name = chat_template
            if name is None:
                name = "tool_use" if tools is not None and "tool_use" in known else "default"
            if name in known:
                return str(known[name])
            if chat_template is None:
                names = ", ".join(sorted(known))
                raise ArgumentError("chat_template", expected=f"one of {names}", got="no default")
        source = chat_template if chat_template is not None else known
        if not isinstance(source, str):
            raise ArgumentError(
                "chat_template", expected="a template", got="none",
                hint="base models have none: pass one, or set tokenizer.chat_template",
            )  # fmt: skip
        return source

    def _compiled(self, source: str) -> ChatTemplate:
        from halfbyte.prompt.template import ChatTemplate  # jinja2 takes a while to import

        return ChatTemplate(source, path=str(self.name_or_path) or "chat_template")

    def _encode_rendered(
        self, texts: list[str], is_batch: bool, options: Mapping[str, Any]
    ) -> BatchEncoding:
        chosen, extra = self._read({**options, "add_special_tokens": False})
        extra |= self._plain_options
        ids = [self._input_ids(text, "conversation", chosen, extra) for text in texts]
        if is_batch:
            return self._batch([(one, None) for one in ids], chosen)
        return self._one(ids[0], None, chosen)


def _conversations(value: Any) -> tuple[list[Sequence[Any]], bool]:
    """The conversations, and whether there may be several."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        if all(isinstance(item, Mapping) for item in value):
            return [value], False
        if all(isinstance(item, (list, tuple)) for item in value):
            return list(value), True
    raise ArgumentError(
        "conversation", expected='a list of {"role": ..., "content": ...}', got=repr(value)
    )


def _up_to_last(text: str, messages: Sequence[Any]) -> str:
    """A rendered conversation up to the end of its last message."""
    last = _last_text(messages)
    end = text.rfind(last)
    if not last or end < 0:
        raise ArgumentError(
            "continue_final_message", expected="a template that shows the last message"
        )
    return text[: end + len(last)].rstrip()


def _last_text(messages: Sequence[Any]) -> str:
    content = messages[-1].get("content") if messages else ""
    if isinstance(content, (list, tuple)):
        content = content[-1].get("text") if content else ""
    return content.strip() if isinstance(content, str) else ""
