"""A request for a next edit as token ids, and the model's answer as a change of the text."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from halfbyte.call_arguments import check_choice
from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit import cursor_infill
from halfbyte.prompt.edit.change import Change, change_of, no_change
from halfbyte.prompt.edit.client_prompt import ClientPrompt, client_prompt
from halfbyte.prompt.edit.edit_format import EditFormat, Layout, UnreadableAnswerError
from halfbyte.prompt.edit.edit_formats import (
    FORMATS,
    KNOWN,
    NAMES,
    check_vocabulary,
    find_edit_format,
    format_of_name,
)
from halfbyte.prompt.edit.edit_request import EditRequest
from halfbyte.prompt.edit.prompt_blocks import REQUIRED, show
from halfbyte.prompt.edit.text_view import TextView
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillPrompt
from halfbyte.prompt.inputs import EncodedPrompt, check_window
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_N_INSERTED = 128  # tokens of an insertion at most, if the caller says nothing
_N_MORE = 64  # tokens that an answer may have beyond half more than the draft


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPrompt(EncodedPrompt):
    """Token ids that ask for an edit.

    Attributes:
        format: whose layout they have, one of edit_formats.NAMES.
        view: the text and the cursor.
        layout: the request in the format.
        stop_texts: texts that end the answer, and are no part of it.
        suffix: what follows it, and is not to be repeated at its end; empty where the answer
            takes the place of text.
        max_tokens: how long the answer may get.
        left_out: what the model is not shown, in words.
    """

    format: str
    view: TextView
    layout: Layout
    stop_texts: tuple[str, ...]
    max_tokens: int
    left_out: tuple[str, ...]
    suffix: str = ""

    @property
    def draft_text(self) -> str:
        """The answer that would change nothing, of which most answers are made."""
        return self.layout.draft

    def change(self, answer: str, *, is_whole: bool) -> Change:
        """The change that an answer means.

        One that changes nothing where it is cut short, since what is missing would be deleted, and
        where it is not as the format has it; a warning of the log says so.

        Args:
            answer: what the model wrote, less what ended it.
            is_whole: whether it came to its end.
        """
        if self.layout.needs_end and not is_whole:
            log.warning("the answer was cut by max_tokens or the context, so there is no edit")
            return no_change(self.view)
        try:
            new, cursor = self.layout.read(answer)
        except UnreadableAnswerError as error:
            log.warning("the answer is not as %s has it, so there is no edit: %s",
                        self.format, error)  # fmt: skip
            return no_change(self.view)
        return change_of(self.view, self.layout.begin, self.layout.old, new, cursor)


class EditEncoder:
    """Encodes requests for edits, for one model.

    Args:
        tokenizer: its own.
        prompts: what makes its infilling prompts.
        n_ctx: tokens of its context.
        names: what it is called, see families.model_card; what tells most comes first.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompts: PromptEncoder, n_ctx: int, names: Sequence[str] = ()
    ) -> None:
        self._tokenizer, self._prompts, self._n_ctx = tokenizer, prompts, n_ctx
        self._names = names

    def prompt(
        self,
        request: EditRequest,
        *,
        format: str | None = None,
        window: int | None = None,
        max_tokens: int | None = None,
    ) -> EditPrompt:
        """The ids that ask for the edit.

        Args:
            request: what is wanted.
            format: one of edit_formats.NAMES; None takes the model's own, else infilling.
            window: tokens of the prompt at most; None takes what the format was trained with, and
                the context less the answer. The part that may change is shown in any case.
            max_tokens: tokens of the answer at most; None goes by the part that may change.

        Raises:
            RequestError: text that the format would misread, or another bad argument.
            ContextLengthError: the part that may change does not fit.
            UnsupportedModelError: a model that knows neither, or not the format that was given.
        """
        check_window(window)
        if format is not None:
            check_choice("format", format, NAMES)
        chosen = FORMATS.get(format) if format else find_edit_format(self._names)
        if chosen is None:
            return self._insertion(request, window, max_tokens, is_told=format is not None)
        check_vocabulary(self._tokenizer, chosen)
        layout = chosen.lay_out(request)
        _check_reserved(chosen, layout)
        if max_tokens is None:
            n_draft = len(self._tokenizer.encode_fragment(layout.draft))
            max_tokens = n_draft + n_draft // 2 + _N_MORE
        tokens, left_out = self._tokens(chosen, layout, window, max_tokens)
        if request.diagnostics and not chosen.shows_diagnostics:
            left_out = (*left_out, _all_of(len(request.diagnostics), "diagnostics"))
        stops = {self._tokenizer.id_of(text) for text in chosen.stop_tokens}
        return EditPrompt(
            tokens=tokens, stop_ids=frozenset(i for i in stops if i is not None),
            format=chosen.name, view=request.view, layout=layout, stop_texts=chosen.stop_texts,
            max_tokens=max_tokens, left_out=left_out,
        )  # fmt: skip

    @property
    def format(self) -> str | None:
        """The format that the model is known for."""
        return format_of_name(*self._names)

    def client_prompt(self, prompt: str, format: str | None) -> ClientPrompt | None:
        """See EditingModel.read_edit_prompt."""
        if format is not None:
            check_choice("format", format, FORMATS)
        own = format or self.format
        if own is None:
            return None
        formats = [FORMATS[own], *(one for one in FORMATS.values() if one.name != own)]
        return client_prompt(self._tokenizer, formats, prompt, self._n_ctx)

    def _tokens(
        self, chosen: EditFormat, layout: Layout, window: int | None, max_tokens: int
    ) -> tuple[list[int], tuple[str, ...]]:
        """The prompt's ids, and what is not among them."""
        tokenizer, n_ctx = self._tokenizer, self._n_ctx
        required = [b.header for b in layout.blocks if b.rank == REQUIRED]
        n_nbytes = sum(len(piece.encode()) for header in required for piece in header)
        if n_nbytes // tokenizer.max_piece_nbytes > n_ctx:
            raise self._too_long(n_nbytes // tokenizer.max_piece_nbytes)
        most = n_ctx - max(1, min(max_tokens, n_ctx // 2))
        shown = show(tokenizer, layout.blocks, min(window or chosen.n_most, most))
        tokens = shown.tokens
        if tokenizer.add_bos and tokenizer.bos_id is not None:
            tokens = [tokenizer.bos_id, *tokens]
        if len(tokens) >= n_ctx:
            raise self._too_long(len(tokens) + 1)
        return tokens, shown.left_out

    def _too_long(self, n_tokens: int) -> ContextLengthError:
        hint = "load the model with a larger ctx=; the lines around the cursor are shown whole"
        return ContextLengthError(n_tokens, self._n_ctx, param="text", hint=hint)

    def _insertion(
        self, request: EditRequest, window: int | None, max_tokens: int | None, *, is_told: bool
    ) -> EditPrompt:
        """Infilling at the cursor; `is_told` where the caller said so."""
        max_tokens = _N_INSERTED if max_tokens is None else max_tokens
        before, after = cursor_infill.around(request.view)
        try:
            asked = self._prompts.infilling(
                before, after, order="auto", heal=True, parse_markers=False, window=window,
                repository=cursor_infill.repository_of(request), max_tokens=max_tokens,
                force=is_told,
            )  # fmt: skip
        except UnsupportedModelError as error:
            raise self._unsupported(error, is_told) from error
        return EditPrompt(
            tokens=asked.tokens, taken_back=asked.taken_back, stop_ids=asked.stop_ids,
            format=cursor_infill.NAME, view=request.view, layout=cursor_infill.lay_out(request),
            stop_texts=cursor_infill.stop_texts(request.view), max_tokens=max_tokens,
            left_out=_left_out(request, asked), suffix=after,
        )  # fmt: skip

    def _unsupported(self, error: UnsupportedModelError, is_told: bool) -> UnsupportedModelError:
        if is_told:
            return error
        return UnsupportedModelError(
            self._tokenizer.path,
            "next edits",
            expected=f"{KNOWN}, or a model that was trained to infill",
            got=error.got,
            hint=f"if it is one of these, say which format it has: {', '.join(NAMES)}",
        )


def _check_reserved(chosen: EditFormat, layout: Layout) -> None:
    """Refuse text that could not be told from the format's own marks in the answer."""
    for text in chosen.reserved:
        if text in layout.old:
            raise RequestError(
                "text", expected=f"no {text} in the lines around the cursor",
                got="some", hint=f"the format {chosen.name} marks places by it in the answer",
            )  # fmt: skip


def _left_out(request: EditRequest, asked: InfillPrompt) -> tuple[str, ...]:
    """What an infilling prompt does not show."""
    sides = (
        (asked.n_prefix_dropped, "characters at the beginning"),
        (asked.n_suffix_dropped, "characters at the end"),
    )
    files = f"{len(asked.files_dropped)} of {len(dict(request.related))} other files"
    return (
        *(f"{n} {what}" for n, what in sides if n),
        *([files] if asked.files_dropped else []),
        *([_all_of(len(request.history), "past edits")] if request.history else []),
        *([_all_of(len(request.diagnostics), "diagnostics")] if request.diagnostics else []),
    )


def _all_of(n: int, what: str) -> str:
    return f"{n} of {n} {what}"
