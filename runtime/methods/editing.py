"""The next edits of a model: `edit` and `stream_edit`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from halfbyte.generation.call_keywords import CallOptions
from halfbyte.generation.edit import Edit
from halfbyte.generation.stream import CompletionStream
from halfbyte.methods.async_model import EditOptions
from halfbyte.planning.call_plan import Plan
from halfbyte.planning.planner import EditFormatName, Planner
from halfbyte.progress import Progress
from halfbyte.prompt.edit.client_prompt import ClientPrompt
from halfbyte.prompt.edit.edit_request import Cursor, Diagnostic, PastEdit, Related

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class EditingModel:
    """A model that proposes edits."""

    _planner: Planner
    _stream: Callable[[Plan], CompletionStream[Any]]

    def edit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        *,
        history: Iterable[PastEdit] = (),
        related: Related = (),
        diagnostics: Iterable[Diagnostic] = (),
        format: EditFormatName | None = None,
        window: int | None = None,
        progress: Progress | None = None,
        **params: Unpack[CallOptions],
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
            **params: the fields of SamplingParams and of Terms, less stop and stop_tokens, since
                the format says where an answer ends. `max_tokens` goes by the lines that may
                change; an answer that is longer is no edit.

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
        **options: Unpack[EditOptions],
    ) -> CompletionStream[Edit]:
        """`edit`, with the model's answer piece by piece, in its own format.

        `completion` is the edit once it is exhausted.
        """
        return self._stream(self._planner.edit(path, text, cursor, **options))

    @property
    def edit_format(self) -> str | None:
        """The format of edits that the model is known for, by its names; None: it is for none."""
        return self._planner.edit_format

    def read_edit_prompt(
        self, prompt: str, *, format: Literal["sweep", "zeta-2", "zeta-2.1"] | None = None
    ) -> ClientPrompt | None:
        """A prompt for an edit that another program laid out, as `complete` takes it.

        Args:
            prompt: all of it, marks and the beginning of the answer included.
            format: what the model was trained on; None finds it as `edit` does.

        Returns:
            its tokens, what ends an answer, and the answer that would change nothing; None where
            the text is laid out in no format, or the model is known for none.

        Raises:
            RequestError: a format that there is not.
            TokenizerError: lone surrogates. ContextLengthError: it is far longer than the context.
        """
        return self._planner.client_prompt(prompt, format)
