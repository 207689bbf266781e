"""A model as protocols see it: its name, what it can do, and its calls, awaited."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import halfbyte
from halfbyte.families.config import MAX_CTX
from halfbyte.model import Model
from halfbyte.prompt.edit.edit_formats import format_of_name
from halfbyte.prompt.thinking import EFFORT, SWITCHES, marks_of
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
        self._fingerprint: str | None = None

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

    @property
    def n_ctx(self) -> int:
        """The tokens that clients are told of, and that an answer has at most which none bounds:
        the context, or what is in sight at once where texts have no end.
        """
        config, n_ctx = self.model.config, self.model.n_ctx
        return config.n_exact if config.n_exact and n_ctx == MAX_CTX else n_ctx

    @property
    def kv_nbytes(self) -> int:
        """Bytes of keys and values in memory, remembered ones too."""
        return self.model.engine.pages.nbytes

    @cached_property
    def can_chat(self) -> bool:
        """Whether it has a template for conversations."""
        return bool(self.model.tokenizer.chat_template)

    @property
    def edit_format(self) -> Any:
        """The format of edits that it is known for, by its file or as the server names it."""
        return self.model.edit_format or format_of_name(self.name)

    @cached_property
    def can_think(self) -> bool:
        """Whether its template knows thoughts."""
        return marks_of(self.model.tokenizer.chat_template or "") is not None

    @cached_property
    def has_switch(self) -> bool:
        """Whether its template can be told to think or not."""
        return any(name in (self.model.tokenizer.chat_template or "") for name in SWITCHES)

    @cached_property
    def reads_effort(self) -> bool:
        """Whether its template takes a word for how much it is to think."""
        return EFFORT in (self.model.tokenizer.chat_template or "")

    @property
    def fingerprint(self) -> str:
        """What its bits depend on: the kernels, the arithmetic, how keys and values are stored, a
        window that was asked for, and the file, of which a hash is known after a while; until then
        its size and architecture stand for it.
        """
        if self._fingerprint is None:
            config = self.model.config
            kernels = f"hb_{halfbyte.__version__}_{self.model.engine.arithmetic}"
            if (kv_type := self.model.engine.layout.kv_type) != "f16":
                kernels += f"_{kv_type}"
            if config.attention_window:
                kernels += f"_{config.attention_sinks}+{config.attention_window}"
            known = self.model.file_hash
            if known is None:
                return f"{kernels}_{self._short}"
            self._fingerprint = f"{kernels}_{known[:12]}"
        return self._fingerprint

    @cached_property
    def nbytes(self) -> int:
        """Of its file; 0 where that cannot be seen any more."""
        try:
            return os.stat(self.model.path).st_size
        except OSError:
            return 0

    @cached_property
    def _short(self) -> str:
        return f"{self.model.config.architecture}-{self.nbytes:x}"
