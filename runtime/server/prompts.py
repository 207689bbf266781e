"""What prompts of a model look like, for who counts, shows or joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from halfbyte.errors import ContextLengthError
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
        HalfbyteError: as `Model.chat`, but that a prompt may be somewhat longer than the context.
    """
    thinking, rest = Thinking.split(options)
    tools = Tools.of(rest.get("tools"), rest.get("tool_choice"))
    return chat_prompt(
        model.tokenizer, messages, tools=tools, thinking=thinking,
        check=partial(check_length, model),
    )  # fmt: skip


def check_length(model: Model, *texts: str) -> None:
    """Refuse a prompt of texts that cannot fit the context before it is encoded, however long.

    Raises:
        ContextLengthError: it has more tokens than that, whatever they are.
    """
    n_nbytes = sum(len(text.encode(errors="surrogatepass")) for text in texts)
    n_tokens = n_nbytes // model.tokenizer.max_piece_nbytes
    if n_tokens > model.n_ctx:
        raise ContextLengthError(n_tokens, model.n_ctx, hint="shorten the prompt")


def as_chat(model: Model, prompt: ChatPrompt, given: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords with which `Model.complete` continues a chat's ids as `Model.chat` would.

    What has no effect beside what is given is left out.
    """
    idle = () if given.get("temperature") != 0 else ("top_k", "top_p", "min_p")
    defaults = {name: v for name, v in model.chat_defaults.items() if name not in idle}
    return {**defaults, **given, "stop_tokens": sorted(prompt.stop_ids)}


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
