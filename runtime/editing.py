"""The next edits of a model: `edit` and `stream_edit`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from halfbyte.call_arguments import check_progress
from halfbyte.engine.engine import Engine
from halfbyte.errors import RequestError
from halfbyte.generation.completion import Completion
from halfbyte.generation.edit import Edit
from halfbyte.generation.generate import new_request
from halfbyte.generation.params import SamplingOptions, SamplingParams
from halfbyte.generation.stream import CompletionStream
from halfbyte.progress import Progress
from halfbyte.prompt.edit.edit_encoder import EditEncoder, EditPrompt
from halfbyte.prompt.edit.edit_request import Cursor, Diagnostic, PastEdit, Related, edit_request
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack

Format = Literal["sweep", "zeta-2", "zeta-2.1", "fim"]


class EditingModel:
    """A model that proposes edits."""

    tokenizer: Tokenizer
    engine: Engine
    _edits: EditEncoder

    def edit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        *,
        history: Iterable[PastEdit] = (),
        related: Related = (),
        diagnostics: Iterable[Diagnostic] = (),
        format: Format | None = None,
        window: int | None = None,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> Edit:
        """The next edit that the user of an editor may want, near the cursor.

        The prompt is laid out as the makers of the model's own format do. A model that has none,
        but was trained to infill, proposes an insertion at the cursor: the result's format is
        "fim" then.

        Args:
            path: the file's name, as the model is shown it.
            text: the file's text.
            cursor: an offset in characters, or (line, column), both from 1.
            history: what was changed before, the latest last.
            related: names and texts of other files, the best last.
            diagnostics: what compilers and linters say of the text.
            format: what the model was trained on; None finds it in the file's names and tags.
            window: tokens of the prompt at most; None takes what the format was trained with, if
                the context holds that beside the answer. The lines that may change are shown in
                any case.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams, less stop and stop_tokens, since the format
                says where an answer ends. `max_tokens` goes by the lines that may change; an answer
                that is longer is no edit.

        Raises:
            RequestError: a bad argument, as a cursor outside the text, or text around it by which
                the format marks places.
            UnsupportedModelError: a model that neither edits nor infills, or lacks the format's
                tokens.
            ContextLengthError, EngineError: as `complete`.
        """
        return self.stream_edit(
            path, text, cursor, history=history, related=related, diagnostics=diagnostics,
            format=format, window=window, progress=progress, **params,
        ).result()  # fmt: skip

    def stream_edit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        *,
        history: Iterable[PastEdit] = (),
        related: Related = (),
        diagnostics: Iterable[Diagnostic] = (),
        format: Format | None = None,
        window: int | None = None,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> CompletionStream[Edit]:
        """`edit`, with the model's answer piece by piece, in its own format.

        `completion` is the edit once it is exhausted.
        """
        report = check_progress(progress)
        for name in ("stop", "stop_tokens"):
            if name in params:
                expected = "nothing: the format says where an edit ends"
                raise RequestError(name, expected=expected, got=repr(params[name]))
        sampling = SamplingParams.from_kwargs(**params)
        asked = self._edits.prompt(
            edit_request(
                path, text, cursor, history=history, related=related, diagnostics=diagnostics
            ),
            format=format, window=window,
            max_tokens=sampling.max_tokens if "max_tokens" in params else None,
        )  # fmt: skip
        sampling = replace(sampling, max_tokens=asked.max_tokens, stop=asked.stop_texts)
        request = new_request(
            self.tokenizer, asked.tokens, sampling,
            taken_back=asked.taken_back, stop_ids=asked.stop_ids,
        )  # fmt: skip
        return CompletionStream(self.engine, request, report, lambda done: _edit_of(asked, done))


def _edit_of(asked: EditPrompt, done: Completion) -> Edit:
    change = asked.change(done.text, is_whole=done.finish_reason == "stop")
    return Edit.of(
        done, change.text, start=change.start, end=change.end, jump=change.jump,
        format=asked.format, original=asked.view.original, left_out=asked.left_out,
    )  # fmt: skip
