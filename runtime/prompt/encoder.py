"""A text, a text with a gap or a conversation as the token ids that a request begins with.

Each is checked against the context twice: as bytes, before a text of any length is encoded, and as
tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.prompt.chat import ChatPrompt, Message, chat_prompt
from halfbyte.prompt.healing import n_healed
from halfbyte.prompt.infill import (
    FILL_MARKER,
    InfillPrompt,
    Repository,
    require_format,
    split_marker,
)
from halfbyte.prompt.inputs import EncodedPrompt, Prompt, check_ids, texts_in
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

log = logging.getLogger(__name__)

P = TypeVar("P", bound=EncodedPrompt)

_TOO_LONG = "load the model with a larger ctx=, or shorten the prompt"


class PromptEncoder:
    """Encodes what a caller gives, for one vocabulary and a context of `n_ctx` tokens.

    Raises:
        RequestError: it cannot be used, and which argument is to blame.
        ContextLengthError: it is too long.
        UnsupportedModelError, TemplateError: the vocabulary or its template is not made for it.
    """

    def __init__(self, tokenizer: Tokenizer, n_ctx: int) -> None:
        self._tokenizer, self._n_ctx = tokenizer, n_ctx

    def completion(
        self, prompt: Prompt, name: str, *, heal: bool, parse_markers: bool
    ) -> EncodedPrompt:
        """A text to continue, or the ids themselves; `name` is the argument's."""
        tokenizer = self._tokenizer
        if not isinstance(prompt, str):
            tokens = check_ids(prompt, name, tokenizer.n_vocab)
            return self._fitting(EncodedPrompt(tokens=tokens), name)
        if not prompt:
            raise RequestError(
                name,
                expected="some text",
                got="an empty prompt",
                hint="to begin from nothing, give the token ids [model.tokenizer.bos_id]",
            )
        if FILL_MARKER in prompt:
            log.warning(
                "%s: complete() takes %s as plain text; infill(prompt) fills it", name, FILL_MARKER
            )
        self._check_text(prompt, name)
        tokens = tokenizer.encode(prompt, parse_markers=parse_markers)
        # A prompt keeps at least one token.
        n = n_healed(tokenizer, tokens, n_text=len(tokens) - 1) if heal else 0
        n_kept = len(tokens) - n
        made = EncodedPrompt(tokens=tokens[:n_kept], taken_back=tuple(tokens[n_kept:]))
        return self._fitting(made, name)

    def infilling(
        self,
        prefix: str,
        suffix: str | None,
        *,
        order: str,
        heal: bool,
        repository: Repository | None,
        parse_markers: bool,
    ) -> InfillPrompt:
        """Two texts, or one with a <FILL_ME>; see InfillFormat.prompt."""
        infill_format = require_format(self._tokenizer)
        before, after = split_marker(prefix) if suffix is None else (prefix, suffix)
        for name, text in (("prefix", before), ("suffix", after)):
            self._check_text(text, name)
            if FILL_MARKER in text:
                log.warning("%s: infill(prefix, suffix) takes %s as plain text", name, FILL_MARKER)
        if isinstance(repository, Repository):
            self._check_nbytes("repository", *texts_in(repository.files))
        made = infill_format.prompt(
            before, after, order=order, heal=heal, repository=repository,
            parse_markers=parse_markers,
        )  # fmt: skip
        return self._fitting(made, "prompt")

    def chat(self, messages: Sequence[Message], *, format: str, parse_markers: bool) -> ChatPrompt:
        """A conversation; see chat_prompt."""
        self._check_nbytes("messages", *texts_in(messages))
        made = chat_prompt(self._tokenizer, messages, format=format, parse_markers=parse_markers)
        return self._fitting(made, "messages")

    def _check_text(self, text: str, name: str) -> None:
        check_text(text, name)
        self._check_nbytes(name, text)

    def _check_nbytes(self, name: str, *texts: str) -> None:
        """Refuse what cannot fit before it is encoded, however long it is."""
        n_nbytes = sum(len(text.encode(errors="surrogatepass")) for text in texts)
        n_tokens = n_nbytes // self._tokenizer.max_piece_nbytes
        if n_tokens > self._n_ctx:
            raise ContextLengthError(n_tokens, self._n_ctx, param=name, hint=_TOO_LONG)

    def _fitting(self, prompt: P, name: str) -> P:
        """The prompt, if the context has room for one more token, healed or not."""
        n_tokens = len(prompt.tokens) + len(prompt.taken_back)
        if n_tokens >= self._n_ctx:
            raise ContextLengthError(n_tokens + 1, self._n_ctx, param=name, hint=_TOO_LONG)
        return prompt
