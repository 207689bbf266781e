"""What prompts of a model look like, for who counts, shows or joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halfbyte.model import Model
from halfbyte.prompt.chat import ChatPrompt, chat_prompt
from halfbyte.prompt.messages import check_messages
from halfbyte.prompt.thinking import Thinking
from halfbyte.prompt.tools.tools import Tools


def chat_prompt_of(
    model: Model, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
) -> ChatPrompt:
    """The prompt of a chat with these keywords of `Model.chat`: its tools and thoughts count.

    Raises:
        HalfbyteError: as `Model.chat`.
    """
    thinking, rest = Thinking.split(options)
    tools = Tools.of(rest.get("tools"), rest.get("tool_choice"))
    return chat_prompt(model.tokenizer, messages, tools=tools, thinking=thinking)


def rendered(model: Model, messages: Sequence[Mapping[str, Any]], source: str) -> str:
    """What a template that is not the model's makes of messages, in the sandbox.

    Raises:
        TemplateError: it does not compile, fails or does too much; RequestError: bad messages.
    """
    from halfbyte.prompt.template import ChatTemplate  # jinja2 takes a while to import

    tokenizer = model.tokenizer
    bos, eos = (
        "" if token is None else tokenizer.piece(token)
        for token in (tokenizer.bos_id, tokenizer.eos_id)
    )
    template = ChatTemplate(source, path="template")
    return str(
        template.render_text(
            check_messages(messages), add_generation_prompt=True, bos_token=bos, eos_token=eos,
            tools=None,
        )
    )  # fmt: skip
