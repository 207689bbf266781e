"""Prompts, looked at: as the methods make them."""

from __future__ import annotations

from typing import Any

import pytest

import halfbyte
from halfbyte.server.prompts import chat_prompt_of, check_length, rendered

USER = [{"role": "user", "content": "def f("}]
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]


@pytest.fixture
def model(models: dict[str, halfbyte.Model]) -> halfbyte.Model:
    return models["thinks"]


@pytest.mark.parametrize("options", [{}, {"tools": TOOLS}, {"thinking": False}])
def test_a_chats_prompt_is_the_one_that_it_gets(
    model: halfbyte.Model, options: dict[str, Any]
) -> None:
    prompt = chat_prompt_of(model, USER, options)
    done = model.chat(USER, **options, max_tokens=1)
    assert len(prompt.tokens) == done.stats.n_prompt
    assert prompt.is_thinking is (options.get("thinking") is not False)


def test_another_template_renders_in_the_sandbox(model: halfbyte.Model) -> None:
    assert rendered(model, USER, "{{ bos_token }}{{ messages[0].content }}") == "<s>def f("
    for source in ("{% for", "{{ ''.__class__ }}", "{% for i in range(10**9) %}{% endfor %}"):
        with pytest.raises(halfbyte.TemplateError):
            rendered(model, USER, source)


def test_what_cannot_fit_is_not_encoded(model: halfbyte.Model) -> None:
    check_length(model, "a" * model.n_ctx)
    long = "word " * 10**6
    with pytest.raises(halfbyte.ContextLengthError) as caught:
        check_length(model, long)
    assert model.n_ctx < caught.value.n_tokens < len(long)
    with pytest.raises(halfbyte.ContextLengthError):
        chat_prompt_of(model, [{"role": "user", "content": long}], {})
