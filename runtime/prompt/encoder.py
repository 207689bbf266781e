"""A text, a text with a gap or a conversation as the token ids that a request begins with.

Each is checked against the context twice: as bytes, before a text of any length is encoded, and as
tokens. Of a text with a gap, what does not fit is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from halfbyte.call_arguments import check_flag
from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.import_lock import Later
from halfbyte.prompt.client_gap import gap_in
from halfbyte.prompt.healing import n_healed
from halfbyte.prompt.infill import (
    FILL_MARKER,
    InfillPrompt,
    Repository,
    check_repository,
    require_format,
    split_marker,
)
from halfbyte.prompt.infill_models import check_trained
from halfbyte.prompt.inputs import EncodedPrompt, Prompt, check_ids, check_window, texts_in
from halfbyte.prompt.messages import Message
from halfbyte.prompt.prompt_cut import PromptCut
from halfbyte.prompt.window import nearest
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

if TYPE_CHECKING:
    from halfbyte.prompt import chat as chats
    from halfbyte.prompt.thinking import Thinking
    from halfbyte.prompt.tools.tools import Tools
else:  # takes milliseconds: every format in which models call functions
    chats = Later("halfbyte.prompt.chat")

log = logging.getLogger(__name__)

P = TypeVar("P", bound=EncodedPrompt)

_FILES_NAMED = 5
_TOO_LONG = "load the model with a larger ctx=, or shorten the prompt"


class PromptEncoder:
    """Encodes what a caller gives, for one model.

    Args:
        tokenizer: its own.
        n_ctx: tokens of its context.
        names: what it is called, see families.model_card.

    Raises:
        RequestError: it cannot be used, and which argument is to blame.
        ContextLengthError: it is too long.
        UnsupportedModelError, TemplateError: the vocabulary or its template is not made for it.
    """

    def __init__(self, tokenizer: Tokenizer, n_ctx: int, names: Sequence[str] = ()) -> None:
        self._tokenizer, self._n_ctx, self._names = tokenizer, n_ctx, names

    @property
    def can_infill(self) -> bool:
        """Whether the model was trained to infill, in a layout that is known here."""
        try:
            require_format(self._tokenizer, self._names)
            check_trained(self._tokenizer.path, self._names, self._tokenizer.chat_template)
        except UnsupportedModelError:
            return False
        return True

    def gap(self, text: str) -> tuple[str, str] | None:
        """See AnsweringModel.read_infill_prompt."""
        if not self.can_infill:
            return None
        return gap_in(require_format(self._tokenizer, self._names).family, text)

    def completion(
        self,
        prompt: Prompt,
        name: str,
        *,
        heal: bool,
        parse_markers: bool,
        cut: PromptCut | None = None,
    ) -> EncodedPrompt:
        """A text to continue, or the ids themselves; `name` is the argument's.

        With a cut, tokens that do not fit are left out; what is healed is never among them.
        """
        tokenizer = self._tokenizer
        check_flag("heal", heal)
        check_flag("parse_markers", parse_markers)
        if not isinstance(prompt, str):
            tokens = check_ids(prompt, name, tokenizer.n_vocab)
            return self._fitting(self._cut(EncodedPrompt(tokens=tokens), name, cut), name)
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
        check_text(prompt, name)
        if cut is None:
            self._check_nbytes(name, prompt)
        text, begins = self._without_bos(prompt, name, parse_markers)
        add_bos = True if begins else None
        tokens = tokenizer.encode(text, add_bos=add_bos, parse_markers=parse_markers)
        # A prompt keeps at least one token.
        n = n_healed(tokenizer, tokens, n_text=len(tokens) - 1) if heal else 0
        n_kept = len(tokens) - n
        made = EncodedPrompt(tokens=tokens[:n_kept], taken_back=tuple(tokens[n_kept:]))
        return self._fitting(self._cut(made, name, cut), name)

    def _cut(self, made: EncodedPrompt, name: str, cut: PromptCut | None) -> EncodedPrompt:
        """A prompt without the tokens that a cut leaves out, which is said."""
        if cut is None:
            return made
        tokens = cut.of(made.tokens, self._n_ctx - len(made.taken_back), self._tokenizer.bos_id)
        if len(tokens) < len(made.tokens):
            log.warning(
                "%s: the model is not shown %d of %d tokens %s, as truncate asks", name,
                len(made.tokens) - len(tokens), len(made.tokens), cut.where,
            )  # fmt: skip
        return replace(made, tokens=tokens)

    def infilling(
        self,
        prefix: str,
        suffix: str | None,
        *,
        order: str,
        heal: bool,
        repository: Repository | None,
        parse_markers: bool,
        window: int | None = None,
        max_tokens: int = 0,
        force: bool = False,
    ) -> InfillPrompt:
        """Two texts, or one with a <FILL_ME>; see InfillFormat.prompt.

        What does not fit the context is left out at the far ends, so that there is room for an
        answer of `max_tokens`, of half of the context at most; see window.py.
        """
        for name, flag in (("heal", heal), ("parse_markers", parse_markers), ("force", force)):
            check_flag(name, flag)
        tokenizer, infill_format = self._tokenizer, require_format(self._tokenizer, self._names)
        if not force:
            check_trained(tokenizer.path, self._names, tokenizer.chat_template)
        before, after = split_marker(prefix) if suffix is None else (prefix, suffix)
        for name, text in (("prefix", before), ("suffix", after)):
            check_text(text, name)
        check_window(window)
        shown = self._without_bos(before, "prefix", parse_markers)[0]
        frame = Repository()
        if repository is not None:
            check_repository(repository)
            frame = replace(repository, files={})
        n_frame = len(infill_format.prompt("", "", order=order, repository=frame).tokens)
        most = self._n_ctx - max(1, min(max_tokens, self._n_ctx // 2))
        view = nearest(
            tokenizer, (shown, after), repository,
            room=max(most - n_frame, 0), window=window, parse_markers=parse_markers,
        )  # fmt: skip
        made = infill_format.prompt(
            view.prefix, view.suffix, order=order, heal=heal, repository=view.repository,
            parse_markers=parse_markers,
        )  # fmt: skip
        made = replace(
            made, prefix=before, suffix=after, files_dropped=view.files_dropped,
            n_prefix_dropped=len(shown) - len(view.prefix),
            n_suffix_dropped=len(after) - len(view.suffix),
        )  # fmt: skip
        _tell_dropped(made)
        return self._fitting(made, "prompt")

    def chat(
        self,
        messages: Sequence[Message],
        *,
        format: str,
        parse_markers: bool,
        tools: Tools | None = None,
        thinking: Thinking | None = None,
    ) -> chats.ChatPrompt:
        """A conversation; see chats.chat_prompt."""
        check_flag("parse_markers", parse_markers)
        self._check_nbytes("messages", *texts_in(messages))
        made = chats.chat_prompt(
            self._tokenizer, messages, format=format, parse_markers=parse_markers, tools=tools,
            thinking=thinking, check=partial(self._check_nbytes, "messages"),
        )  # fmt: skip
        return self._fitting(made, "messages")

    def _without_bos(self, text: str, name: str, parse_markers: bool) -> tuple[str, bool]:
        """The text, and whether the text of BOS was taken from its beginning.

        That is done where markers are meant, since BOS is put there anyway.
        """
        bos_id = self._tokenizer.bos_id
        bos = "" if bos_id is None else self._tokenizer.piece(bos_id)
        if not bos or not text.startswith(bos):
            return text, False
        if parse_markers:
            log.warning("%s begins with %s: BOS is put there once, not twice", name, bos)
            return text[len(bos) :], True
        if self._tokenizer.add_bos:
            log.warning(
                "%s begins with %s, taken as plain text after BOS: leave it out, or say "
                "parse_markers=True", name, bos,
            )  # fmt: skip
        return text, False

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


def _tell_dropped(made: InfillPrompt) -> None:
    """Say what the model is not shown."""
    parts = [
        f"{n:,} characters {where}"
        for n, where in (
            (made.n_prefix_dropped, "at the beginning"), (made.n_suffix_dropped, "at the end"),
        )
        if n
    ]  # fmt: skip
    files = made.files_dropped
    parts += files[:_FILES_NAMED]
    if len(files) > _FILES_NAMED:
        parts.append(f"{len(files) - _FILES_NAMED} more files")
    if parts:
        log.warning(
            "the model is not shown %s: the prompt is the %d tokens nearest the cursor, "
            "as window and ctx allow",
            ", ".join(parts), len(made.tokens),
        )  # fmt: skip
