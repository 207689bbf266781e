"""A model as protocols see it: its name, what it can do, and its calls, awaited."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

import halfbyte
from halfbyte.model import Model
from halfbyte.prompt.thinking import SWITCHES, marks_of
from halfbyte.server.ask import Ask


class ServedModel:
    """A loaded model under a name.

    Attributes:
        name: what clients call it.
        model: the model itself, for what is no call of a text: tokenizer, embeddings, caches.
        created: when it was loaded, in seconds since 1970.
    """

    def __init__(self, name: str, model: Model, created: int) -> None:
        self.name, self.model, self.created = name, model, created

    async def answer(self, ask: Ask) -> list[Any]:
        """The answers to a call; a task that is cancelled gives them up."""
        call = getattr(self.model, f"a{ask.method}")
        several = {} if ask.method == "edit" else {"n": ask.n}
        done = await call(*ask.arguments, **several, **ask.options)
        return done if ask.n is not None else [done]

    async def stream(self, ask: Ask) -> Any:
        """The answers as they grow, begun."""
        name = "astream" if ask.method == "complete" else f"astream_{ask.method}"
        several = {} if ask.method == "edit" else {"n": ask.n}
        stream = getattr(self.model, name)(*ask.arguments, **several, **ask.options)
        await stream.begin()
        return stream

    async def in_thread(self, work: Any, *args: Any) -> Any:
        """What a call that takes more than a moment returns, the event loop not blocked."""
        return await asyncio.to_thread(work, *args)

    @cached_property
    def can_chat(self) -> bool:
        """Whether it has a template for conversations."""
        return bool(self.model.tokenizer.chat_template)

    @cached_property
    def can_think(self) -> bool:
        """Whether its template knows thoughts."""
        return marks_of(self.model.tokenizer.chat_template or "") is not None

    @cached_property
    def has_switch(self) -> bool:
        """Whether its template can be told to think or not."""
        return any(name in (self.model.tokenizer.chat_template or "") for name in SWITCHES)

    @cached_property
    def fingerprint(self) -> str:
        """What its bits depend on: the file and the kernels."""
        return f"hb_{halfbyte.__version__}"
