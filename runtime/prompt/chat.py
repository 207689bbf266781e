"""Chat: messages to token ids.

Code Llama's and Llama 2's instruct models have layouts of their own, whose ids follow Meta's code;
every other model brings a Jinja template in its file.

Source of the two layouts: Meta's published llama/generation.py, `chat_completion` and
`dialog_prompt_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from halfbyte.call_arguments import check_choice
from halfbyte.errors import RequestError, TemplateError, UnsupportedModelError
from halfbyte.prompt.inputs import EncodedPrompt
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

if TYPE_CHECKING:
    from halfbyte.prompt.template import ChatTemplate
    from halfbyte.prompt.template.text import Text

Message = Mapping[str, object]

FORMATS = ("auto", "llama-2", "codellama-70b", "template")
_TAGS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<step>")
_STEP = "<step>"
# Files of Code Llama 70B Instruct whose converter kept the base vocabulary's spelling of it.
_STEP_ID, _STEP_VOCAB = 32015, 32016


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt(EncodedPrompt):
    """Token ids that ask for the next message, in one of FORMATS."""

    format: str


def chat_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    format: str = "auto",
    parse_markers: bool = False,
    check: Callable[[str], None] = lambda text: None,
) -> ChatPrompt:
    """The ids that ask for the answer to a conversation.

    Args:
        tokenizer: the model's.
        messages: each with `role` (system, user, assistant) and `content`.
        format: "llama-2" ([INST] and <<SYS>>), "codellama-70b" (Source: and <step>), "template"
            (the file's Jinja template), or "auto", which takes the one that the file asks for.
        parse_markers: see Tokenizer.encode. Otherwise what a message spells is plain text; with a
            template, special tokens are those that the template itself spells.
        check: called with what a template renders, before it is encoded.

    Raises:
        RequestError: bad messages, or, in Meta's layouts, special tags in their content.
        UnsupportedModelError: the file says nothing about chat.
        TemplateError: the file's template fails, or renders nothing.
    """
    check_choice("format", format, FORMATS)
    checked = _check_messages(messages)
    chosen = detect_format(tokenizer) if format == "auto" else format
    if chosen == "codellama-70b":
        step = _step_id(tokenizer)
        tokens = list(_codellama_70b(tokenizer, checked, step, parse_markers))
        return ChatPrompt(tokens=tokens, format=chosen, stop_ids=frozenset({step}))
    if chosen == "llama-2":
        tokens = list(_llama_2(tokenizer, checked, parse_markers))
    else:
        text = _render(tokenizer, checked)
        check(text)
        spans = None if parse_markers else text.spans()
        tokens = tokenizer.encode_rendered(str.__str__(text), spans)  # its parts: str, too
    return ChatPrompt(tokens=tokens, format=chosen)


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
        _need(len(turns) > 1, "a user's message after the system's")
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


def _render(tokenizer: Tokenizer, messages: list[Message]) -> Text:
    """What the file's template makes of a conversation."""
    if tokenizer.chat_template is None:
        raise UnsupportedModelError(
            tokenizer.path, "tokenizer.chat_template", expected="a chat template", got="none"
        )
    bos, eos = (
        "" if token is None else tokenizer.piece(token)
        for token in (tokenizer.bos_id, tokenizer.eos_id)
    )
    template = _compiled(tokenizer.chat_template, tokenizer.path)
    text = template.render_text(
        messages, add_generation_prompt=True, bos_token=bos, eos_token=eos, tools=None
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


def _check_messages(messages: object) -> list[Message]:
    """The messages, each a mapping with a role and a text."""
    is_list = isinstance(messages, Sequence) and not isinstance(messages, (str, bytes))
    if not is_list or not messages:
        raise RequestError(
            "messages", expected='a list of {"role": ..., "content": ...}', got=messages
        )
    checked: list[Message] = []
    for i, message in enumerate(messages):  # type: ignore[arg-type,var-annotated]
        _need(isinstance(message, Mapping), "a mapping with role and content", i, message)
        for key in ("role", "content"):
            _need(isinstance(message.get(key), str), f"{key}: a text", i, message.get(key))
            check_text(message[key], f"messages[{i}].{key}")
        checked.append(message)
    return checked


def _check_turns(messages: list[Message]) -> list[Message]:
    """Roles in Meta's order: a system message or none, then user and assistant in turns."""
    for i, message in enumerate(messages):
        found = [tag for tag in _TAGS if tag in str(message["content"])]
        _need(not found, "no special tags in the text", i, ", ".join(found))
    begin = int(messages[0]["role"] == "system")
    for i, message in enumerate(messages[begin:]):
        wanted = "assistant" if i % 2 else "user"
        _need(message["role"] == wanted, f"role {wanted}", begin + i, message["role"])
    _need(messages[-1]["role"] == "user", "a user's message at the end", len(messages) - 1)
    return messages


def _need(is_met: bool, expected: str, i: int | None = None, got: object = None) -> None:
    if not is_met:
        param = "messages" if i is None else f"messages[{i}]"
        raise RequestError(param, expected=expected, got=got)


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
