"""Conversations by a Jinja template."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.errors import RequestError
from halfbyte.hf.tokenizer import CodeLlamaTokenizer
from halfbyte.prompt import template

MESSAGES = [{"role": "user", "content": "a <FILL_ME>"}, {"role": "assistant", "content": " b "}]
TEMPLATE = (
    "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content | trim }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ opening }}{% endif %}"
)


def test_chat_templates(tokenizer: CodeLlamaTokenizer) -> None:
    text = "<s>user: a <FILL_ME></s><s>assistant: b</s>"
    tokenizer.chat_template = TEMPLATE
    apply = tokenizer.apply_chat_template
    assert apply(MESSAGES, tokenize=False) == text
    opened = apply(MESSAGES, tokenize=False, add_generation_prompt=True, opening="A:")
    assert opened == f"{text}A:"
    # No BOS beside the template's, and a fill token of a user is text.
    as_text = CodeLlamaTokenizer(tokenizer.vocab_file, fill_token=None)
    expected = as_text.encode(text, add_special_tokens=False)
    assert apply(MESSAGES) == expected and expected[0] == 1
    assert apply(MESSAGES, return_tensors="np").tolist() == [expected]
    encoding = apply(MESSAGES, return_dict=True, padding="max_length", max_length=99)
    assert len(encoding.input_ids) == 99 and sum(encoding.attention_mask) == len(expected)
    assert apply([MESSAGES, MESSAGES[:1]], padding=True, return_tensors="np").shape[0] == 2
    assert apply([MESSAGES], tokenize=False) == [text]
    goes_on = apply(MESSAGES, tokenize=False, continue_final_message=True)
    assert goes_on == text.removesuffix("</s>")
    assert apply(MESSAGES, chat_template="{{ eos_token }}", tokenize=False) == "</s>"


def test_a_template_is_compiled_once_for_all_conversations(
    tokenizer: CodeLlamaTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    class Counting(template.ChatTemplate):
        def __init__(self, source: str, **options: str) -> None:
            compiled.append(source)
            super().__init__(source, **options)

    monkeypatch.setattr(template, "ChatTemplate", Counting)
    tokenizer.chat_template = TEMPLATE
    assert len(tokenizer.apply_chat_template([MESSAGES] * 5, tokenize=False)) == 5
    assert compiled == [TEMPLATE]


def test_named_chat_templates(tokenizer: CodeLlamaTokenizer, tmp_path: Path) -> None:
    tokenizer.chat_template = {"default": "D", "tool_use": "T{{ tools }}", "other": "O"}
    apply = tokenizer.apply_chat_template
    assert apply(MESSAGES, tokenize=False) == "D"
    assert apply(MESSAGES, chat_template="other", tokenize=False) == "O"
    assert apply(MESSAGES, tools=[{"x": 1}], tokenize=False).startswith("T[")
    tokenizer.save_pretrained(tmp_path)
    loaded = CodeLlamaTokenizer.from_pretrained(tmp_path)
    assert loaded.chat_template == tokenizer.chat_template
    del tokenizer.chat_template["default"]
    with pytest.raises(RequestError, match="other, tool_use"):
        apply(MESSAGES)


def test_chats_that_are_refused(tokenizer: CodeLlamaTokenizer) -> None:
    apply = tokenizer.apply_chat_template
    with pytest.raises(RequestError, match=r"tokenizer\.chat_template"):
        apply(MESSAGES)
    tokenizer.chat_template = "no messages"
    for options, name in (
        ({"tokenize": False, "return_dict": True}, "return_dict"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"return_assistant_tokens_mask": True}, "return_assistant_tokens_mask"),
        ({"tokenizer_kwargs": {"no_such": 1}}, "no_such"),
        ({"truncation": "much"}, "truncation"),
    ):
        with pytest.raises(RequestError, match=name):
            apply(MESSAGES, **options)
    for messages in ([], "text", [3], None):
        with pytest.raises(RequestError, match="conversation"):
            apply(messages)
