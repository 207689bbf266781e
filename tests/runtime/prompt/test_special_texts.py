"""Special tokens' texts in conversations: the template's are tokens, a user's are text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfbyte
from halfbyte.prompt.chat import chat_prompt
from halfbyte.prompt.template import ChatTemplate
from halfbyte.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "template" / "templates"
TEMPLATES = {path.stem: path.read_text("utf-8") for path in FOLDER.iterdir()}
SPECIALS = tuple(sorted({
    *(text for source in TEMPLATES.values() for text in re.findall(r"<[|｜]\w+[|｜]>", source)),
    "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<|endoftext|>",
}))  # fmt: skip
FRAGMENTS = [
    *SPECIALS,
    "<|im_",
    "im_end|>",
    "|>",
    "<|",
    "end",
    "[",
    "INST",
    "]",
    "<",
    "s>",
    " ",
    "a",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join)
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}


@pytest.fixture(scope="module")
def made(vocabularies: Any) -> Any:
    return vocabularies.train_byte_level("smollm", SPECIALS)


@pytest.fixture(scope="module")
def open_with(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tokenizer]:
    folder = tmp_path_factory.mktemp("special")
    known: dict[str, Tokenizer] = {}

    def open_with(template: str) -> Tokenizer:
        if template not in known:
            fill = lambda writer: writer.add_chat_template(template)  # noqa: E731
            known[template] = Tokenizer.from_path(made.write(folder / "m.gguf", fill=fill))
        return known[template]

    return open_with


def conversation(a: str, b: str, c: str, d: str) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": c, "arguments": {"k": d}}}
    return [
        {"role": "system", "content": d}, {"role": "user", "content": a},
        {"role": "assistant", "content": b, "tool_calls": [call]},
        {"role": "tool", "content": c, "name": d}, {"role": "assistant", "content": f"x{a}"},
        {"role": "user", "content": f"y{b}"},
    ]  # fmt: skip


@cache
def compiled(name: str) -> ChatTemplate:
    return ChatTemplate(TEMPLATES[name])


def steering(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    return [i for i in ids if i in tokenizer.marker_ids or not tokenizer.token_bytes(i)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_innocent_messages_are_read_as_their_own_tokenizer_reads_them(
    name: str, made: Any, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(TEMPLATES[name])
    messages = conversation("hi", "ho", "f", "be é")
    text = ChatTemplate(TEMPLATES[name]).render_text(
        messages, bos_token="<s>", eos_token="</s>", tools=[TOOL]
    )
    expected = made.tokenizer(parses=True).encode(str(text), add_special_tokens=False).ids
    got = tokenizer.encode_rendered(text, text.spans())
    assert got == tokenizer.encode_rendered(text) == expected
    assert len(steering(tokenizer, got)) >= {"macros": 0, "ernie": 3}.get(name, 4)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=15)
@given(texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS))
def test_what_messages_spell_is_never_a_special_token(
    name: str, texts: tuple[str, ...], open_with: Callable[[str], Tokenizer]
) -> None:
    """The same special tokens as with harmless messages, and all of the text spelled out."""
    tokenizer, template = open_with(TEMPLATES[name]), compiled(name)

    def encode(messages: list[dict[str, Any]]) -> tuple[str, list[int]]:
        given = {"bos_token": "<s>", "eos_token": "</s>", "tools": None}
        text = template.render_text(messages, **given)
        return text, tokenizer.encode_rendered(text, text.spans())

    # Templates look for an empty message, and for white space at the ends.
    harmless = (re.sub(r"\S", "z", text) for text in texts)
    _, expected = encode(conversation(*harmless))
    text, got = encode(conversation(*texts))
    assert steering(tokenizer, got) == steering(tokenizer, expected)
    spelled = b"".join(tokenizer.token_bytes(i) or tokenizer.piece(i).encode() for i in got)
    assert spelled.decode() == text


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("<|im_{{ x }}", "end|>"),
        ("{{ x }}end|>", "<|im_"),
        ("<|im_{{ x }}|>", "end"),
        ("{{ '<|im_' ~ x ~ '|>' }}", "end"),
        ("{{ '%s|>' % x }}", "<|im_end"),
        ("{{ x | upper | lower }}", "<|IM_END|>"),
        ("{{ (x ~ '<|im_start|>')[:10] }}", "<|im_end|>"),
        ("{{ x | replace('-', '') }}", "<|im-_end|>"),
        ("{{ ['<|im_', x] | join }}", "end|>"),
        ("{{ messages }}{{ messages | tojson }}", "<|im_end|>"),
        ("{{ x | list | join }}{{ x | string }}", "<|im_end|>"),
        ("{% set a %}<|{{ x }}|>{% endset %}{{ a | trim }}", "im_end"),
        ("{% filter lower %}<|{{ x }}|>{% endfilter %}", "IM_END"),
        ("{% set a, b = x %}{{ a ~ b ~ 'im_end|>' }}", "<|"),
        ("{{ x.split('+') | join('') }}", "<|im_+end|>"),
        ("{{ messages[0].n ~ x }}<|im_end|{{ '>' if 0 else x }}", ">"),
    ],
)
def test_a_special_text_that_a_message_has_a_part_in_is_plain(
    source: str, content: str, open_with: Callable[[str], Tokenizer]
) -> None:
    source = "{% set x = messages[0].content %}" + source
    tokenizer = open_with(source)
    messages = [{"role": "user", "content": content, "n": 5}]
    assert not steering(tokenizer, chat_prompt(tokenizer, messages).tokens)
    whole = chat_prompt(tokenizer, messages, parse_markers=True).tokens
    assert len(steering(tokenizer, whole)) >= ("<|im_end|>" in source or "tojson" in source)


@pytest.mark.parametrize(
    "source",
    ["<|{{ 'im_end' }}|>", "{{ '<|IM_END' | lower ~ '|>' }}", "{{ '<|im_end|>' | trim }}",
     "{% macro m() %}<|im_end{{ caller() }}{% endmacro %}{% call m() %}|>{% endcall %}",
     "{{ ['<|im', 'end|>'] | join('_') }}{{ messages[0].content }}",
     "{{ '%s<|im_end|>' % messages[0].content }}", "{{ messages[0].content ~ '<|im_end|>' }}",
     "{{ messages[0].content.replace('x', '<|im_end|>') }}", "<|im_{{ '{}|>'.format('end') }}",
     "{% for m in messages %}{{ '<|im_end|>' if loop.last else '' }}{{ m.content }}{% endfor %}"],
)  # fmt: skip
def test_a_special_text_that_the_template_puts_together_is_the_token(
    source: str, made: Any, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(source)
    tokens = chat_prompt(tokenizer, [{"role": "user", "content": "x<|im_end|>"}]).tokens
    assert steering(tokenizer, tokens) == [made.id_of("<|im_end|>")]


def test_a_pasted_template_is_text_wherever_a_text_is_taken(infill_model: halfbyte.Model) -> None:
    """complete, infill and Meta's layouts; the packaged vocabulary's special texts."""
    tokenizer = infill_model.tokenizer
    pasted = "<s>[x] </s> <EOT> <PRE>"
    message = [{"role": "user", "content": pasted}]
    bos = tokenizer.bos_id
    for tokens in (
        tokenizer.encode(pasted, add_bos=False),
        tokenizer.encode_fragment(pasted),
        [i for i in chat_prompt(tokenizer, message, format="llama-2").tokens if i != bos],
    ):
        assert not steering(tokenizer, tokens)
        assert pasted in tokenizer.decode(tokens)
