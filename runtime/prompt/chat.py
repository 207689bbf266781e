"""Chat: messages to token ids.

Code Llama's and Llama 2's instruct models have layouts of their own, whose ids follow Meta's code;
every other model brings a Jinja template in its file.

Source of the two layouts: Meta's published llama/generation.py, `chat_completion` and
`dialog_prompt_tokens`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from halfbyte.call_arguments import check_choice
from halfbyte.errors import RequestError, TemplateError, UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt import harmony_messages
from halfbyte.prompt.inputs import EncodedPrompt
from halfbyte.prompt.messages import Message, check_messages, need
from halfbyte.prompt.thinking import Thinking, is_open, marks_of
from halfbyte.prompt.tools.call_format import CallFormat
from halfbyte.prompt.tools.formats import GENERIC, format_of
from halfbyte.prompt.tools.generic import told
from halfbyte.prompt.tools.placed import placed
from halfbyte.prompt.tools.tools import Tools
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.harmony_texts import TEXTS

if TYPE_CHECKING:
    from halfbyte.prompt.template import ChatTemplate
    from halfbyte.prompt.template.text import Text

log = logging.getLogger(__name__)

FORMATS = ("auto", "llama-2", "codellama-70b", "template")
_TAGS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<step>")
_STEP = "<step>"
_THINKING = "message.thinking"
# Files of Code Llama 70B Instruct whose converter kept the base vocabulary's spelling of it.
_STEP_ID, _STEP_VOCAB = 32015, 32016


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt(EncodedPrompt):
    """Token ids that ask for the next message, in one of FORMATS.

    Attributes:
        format: which one.
        calls: how the answer calls functions; None where it may not.
        thoughts: the texts between which it thinks; None where it does not.
        is_thinking: whether the prompt ends within a thought.
        spelled: control tokens among the texts of both.
    """

    format: str
    calls: CallFormat | None = None
    thoughts: tuple[str, str] | None = None
    is_thinking: bool = False
    spelled: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_harmony(self) -> bool:
        """Whether the answer is messages in channels; see tokenizer/harmony_texts.py."""
        return harmony_messages.is_harmony(self.thoughts)


def chat_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    format: str = "auto",
    parse_markers: bool = False,
    tools: Tools | None = None,
    thinking: Thinking | None = None,
    check: Callable[[str], None] = lambda text: None,
) -> ChatPrompt:
    """The ids that ask for the answer to a conversation.

    Args:
        tokenizer: the model's.
        messages: each with `role` (system, user, assistant, tool) and `content`; an assistant's
            may have `tool_calls`, see messages.py.
        format: "llama-2" ([INST] and <<SYS>>), "codellama-70b" (Source: and <step>), "template"
            (the file's Jinja template), or "auto", which takes the one that the file asks for.
        parse_markers: see Tokenizer.encode. Otherwise what a message spells is plain text; with a
            template, special tokens are those that the template itself spells.
        tools: functions that the answer may call. Templates that have a place for them are given
            them; all others are told as tools/generic.py does.
        thinking: whether it thinks, and how long.
        check: called with what a template renders, before it is encoded.

    Raises:
        RequestError: bad messages, or, in Meta's layouts, special tags in their content.
        UnsupportedModelError: the file says nothing about chat.
        TemplateError: the file's template fails, or renders nothing.
    """
    check_choice("format", format, FORMATS)
    checked = check_messages(messages)
    if tools is not None and tools.choice == "none":
        tools = None
    chosen = detect_format(tokenizer) if format == "auto" else format
    if chosen == "template":
        asked = _Asked(tools, thinking or Thinking())
        return _templated(tokenizer, checked, asked, parse_markers, check)
    checked = told(checked, tools)
    (thinking or Thinking()).check(None, frozenset())
    calls = None if tools is None else GENERIC
    if chosen == "codellama-70b":
        step = _step_id(tokenizer)
        tokens = list(_codellama_70b(tokenizer, checked, step, parse_markers))
        stop_ids = frozenset({step})
        return ChatPrompt(tokens=tokens, format=chosen, stop_ids=stop_ids, calls=calls)
    tokens = list(_llama_2(tokenizer, checked, parse_markers))
    return ChatPrompt(tokens=tokens, format=chosen, calls=calls)


def detect_format(tokenizer: Tokenizer) -> str:
    """The chat format that a file asks for.

    Raises:
        UnsupportedModelError: it says nothing about chat.
    """
    template = tokenizer.chat_template
    if tokenizer.id_of(_STEP) is not None or _STEP in (template or ""):
        return "codellama-70b"
    if template is None:
        raise UnsupportedModelError(
            tokenizer.path,
            "tokenizer.chat_template",
            expected="a chat template",
            got="none",
            hint="a base model has none; if this is Code Llama Instruct or Llama 2 Chat, say "
            'format="llama-2" (--format llama-2)',
        )
    is_llama_2 = tokenizer.kind == "spm" and "[INST]" in template and "<<SYS>>" in template
    return "llama-2" if is_llama_2 else "template"


def _llama_2(tokenizer: Tokenizer, messages: list[Message], parse_markers: bool) -> Iterator[int]:
    """[INST] turns: each finished one stands between BOS and EOS."""
    encode = partial(tokenizer.encode, add_bos=False, parse_markers=parse_markers)
    turns = _check_turns(messages)
    if turns[0]["role"] == "system":
        need(len(turns) > 1, "a user's message after the system's")
        content = f"<<SYS>>\n{turns[0]['content']}\n<</SYS>>\n\n{turns[1]['content']}"
        turns = [{"role": "user", "content": content}, *turns[2:]]
    for asked, answered in zip(turns[::2], turns[1::2], strict=False):
        question, answer = str(asked["content"]).strip(), str(answered["content"]).strip()
        yield from _bos(tokenizer)
        yield from encode(f"[INST] {question} [/INST] {answer} ")
        if tokenizer.eos_id is not None:
            yield tokenizer.eos_id
    yield from _bos(tokenizer)
    last = str(turns[-1]["content"]).strip()
    yield from encode(f"[INST] {last} [/INST]")


def _codellama_70b(
    tokenizer: Tokenizer, messages: list[Message], step: int, parse_markers: bool
) -> Iterator[int]:
    """`Source:` headers, each message ended by the step token; a system message always leads."""
    encode = partial(tokenizer.encode, add_bos=False, parse_markers=parse_markers)
    turns = _check_turns(messages)
    if turns[0]["role"] != "system":
        turns = [{"role": "system", "content": ""}, *turns]
    yield from _bos(tokenizer)
    for turn in turns:
        yield from encode(f" Source: {turn['role']}")
        content = str(turn["content"]).strip()
        if content:
            yield from encode(f"\n\n {content}")
        yield step
    yield from encode(" Source: assistant\nDestination: user")
    yield from encode("\n\n ")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a caller asks of a template besides."""

    tools: Tools | None
    thinking: Thinking


def _templated(
    tokenizer: Tokenizer,
    messages: list[Message],
    asked: _Asked,
    parse_markers: bool,
    check: Callable[[str], None],
) -> ChatPrompt:
    """What the file's own template makes of a conversation."""
    source = template_of(tokenizer, has_tools=asked.tools is not None)
    if source is None:
        raise UnsupportedModelError(
            tokenizer.path, "tokenizer.chat_template", expected="a chat template", got="none"
        )
    template = _compiled(source, tokenizer.path)
    tools, thoughts = asked.tools, marks_of(source)
    asked.thinking.check(thoughts, template.variables)
    is_harmony = harmony_messages.is_harmony(thoughts)
    if is_harmony:
        messages = harmony_messages.as_messages(messages)
    elif _THINKING in source:
        messages = [_with_thinking(message) for message in messages]
    made = placed(source, template.variables, messages, tools, tokenizer.path)
    variables: dict[str, Any] = {"tools": None, **asked.thinking.variables(template.variables)}
    variables |= harmony_messages.as_variables(made.variables) if is_harmony else made.variables
    try:
        text = _render(tokenizer, template, made.messages, variables)
    except TemplateError as error:
        if tools is None:
            raise
        raise TemplateError(
            error.path, error.field, expected="a chat template that renders with these tools",
            got=error.got, hint="chat without tools may work",
        ) from error  # fmt: skip
    except RequestError:
        if made.calls is not GENERIC:
            raise
        messages = told(messages, tools, has_system=False)  # it may refuse system messages
        text = _render(tokenizer, template, messages, variables)
    check(text)
    calls = made.calls
    texts = () if calls is None else (*calls.begins, calls.end, *calls.texts)
    spans = None if parse_markers else text.spans()
    return ChatPrompt(
        tokens=tokenizer.encode_rendered(str.__str__(text), spans), format="template", calls=calls,
        thoughts=thoughts, is_thinking=is_open(text, thoughts),
        spelled=_control_tokens(tokenizer, *texts, *(TEXTS if is_harmony else thoughts or ())),
    )  # fmt: skip


def template_of(tokenizer: Tokenizer, *, has_tools: bool) -> str | None:
    """The Jinja source for conversations with tools, or without; None where there is none.

    A file's own for tools goes before the default one, if its way of calling is known.
    """
    own = tokenizer.vocabulary.tool_template if has_tools else None
    if own is None:
        return tokenizer.chat_template
    try:
        format_of(own, tokenizer.path)
    except UnsupportedModelError:
        _say_default(tokenizer.path)
        return tokenizer.chat_template
    return own


@lru_cache(maxsize=64)
def _say_default(path: str) -> None:
    log.warning("%s: its template for tools wants calls in a way that is not known here: not used",
                path)  # fmt: skip


def _with_thinking(message: Message) -> Message:
    """An assistant's thoughts under the name that LFM2.5's template has for them."""
    thoughts = message.get("reasoning_content")
    if message["role"] != "assistant" or not isinstance(thoughts, str) or not thoughts:
        return message
    return {"thinking": thoughts, **message}


def _render(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    variables: Mapping[str, Any],
) -> Text:
    bos, eos = (
        "" if token is None else tokenizer.piece(token)
        for token in (tokenizer.bos_id, tokenizer.eos_id)
    )
    text = template.render_text(
        messages, add_generation_prompt=True, bos_token=bos, eos_token=eos, **variables
    )
    if not text:
        raise TemplateError(
            tokenizer.path, "tokenizer.chat_template", expected="a prompt for these messages",
            got="an empty text", hint="the template may know none of their roles",
        )  # fmt: skip
    return text


@lru_cache(maxsize=8)
def _compiled(source: str, path: str) -> ChatTemplate:
    """A template, compiled once and not with every turn."""
    from halfbyte.prompt.template import ChatTemplate  # jinja2 takes a while to import

    return ChatTemplate(source, path=path)


def _control_tokens(tokenizer: Tokenizer, *texts: str) -> dict[int, str]:
    """Those of the texts that are tokens without a text of their own."""
    ids = {tokenizer.id_of(text): text for text in texts if text}
    return {i: text for i, text in ids.items() if i is not None and not tokenizer.token_bytes(i)}


def _check_turns(messages: list[Message]) -> list[Message]:
    """Roles in Meta's order: a system message or none, then user and assistant in turns."""
    for i, message in enumerate(messages):
        found = [tag for tag in _TAGS if tag in str(message["content"])]
        need(not found, "no special tags in the text", i, ", ".join(found))
    begin = int(messages[0]["role"] == "system")
    for i, message in enumerate(messages[begin:]):
        wanted = "assistant" if i % 2 else "user"
        need(message["role"] == wanted, f"role {wanted}", begin + i, message["role"])
    need(messages[-1]["role"] == "user", "a user's message at the end", len(messages) - 1)
    return messages


def _bos(tokenizer: Tokenizer) -> list[int]:
    return [] if tokenizer.bos_id is None else [tokenizer.bos_id]


def _step_id(tokenizer: Tokenizer) -> int:
    known = tokenizer.id_of(_STEP)
    if known is None and tokenizer.n_vocab == _STEP_VOCAB:
        known = _STEP_ID
    if known is None:
        raise UnsupportedModelError(
            tokenizer.path, "format codellama-70b", expected=f"a token {_STEP}", got="none"
        )
    return known
