"""`POST /v1/edit`: the next edit that the user of an editor may want, as halfbyte's `edit` has it.

A resource of halfbyte's own beside OpenAI's, in their style (docs/server-edits.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.generation.edit import Edit
from halfbyte.prompt.edit.edit_request import Diagnostic, PastEdit
from halfbyte.prompt.positions import offset_at
from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import fault_of
from halfbyte.server.fields import Count, Fields, Positive, Probability, Seed, Temperature
from halfbyte.server.openai.answer_fields import Prediction
from halfbyte.server.openai.shapes import (
    answer_shell,
    finish_reason,
    guess_details,
    naming,
    stream_error,
    usage,
)
from halfbyte.server.protocol import Route
from halfbyte.server.reply import DONE, Events, Json, Reply, dumps, event
from halfbyte.server.sampling_fields import seed_options
from halfbyte.server.text_units import Unit, n_chars, n_units

_Many = Field(max_length=1024)


class PlaceFields(Fields):
    """A line and a column, both from 1."""

    line: Positive
    column: Positive


class PastEditFields(Fields):
    """Something that the user changed."""

    path: str
    old: str
    new: str
    line: Positive | None = None
    accepted: bool | None = None


class FileFields(Fields):
    """Another file."""

    path: str
    text: str


class DiagnosticFields(Fields):
    """What a compiler or a linter says."""

    message: str
    line: Positive | None = None
    source: str | None = None


class EditFields(Fields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({"user", "stream_options"})
    model: str | None = None
    path: str
    text: str
    cursor: Annotated[int, Field(ge=0)] | PlaceFields
    offset_encoding: Unit | None = None
    history: Annotated[list[PastEditFields], _Many] | None = None
    related: Annotated[list[FileFields], _Many] | None = None
    diagnostics: Annotated[list[DiagnosticFields], _Many] | None = None
    format: Literal["sweep", "zeta-2", "zeta-2.1", "fim"] | None = None
    window: Positive | None = None
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: int | None = Field(None, ge=0, le=1 << 20)
    min_p: Probability | None = None
    seed: Seed | None = None
    prediction: Prediction | None = None
    full_text: bool | None = None
    stream: bool | None = None

    @property
    def unit(self) -> Unit:
        """What offsets and columns count."""
        return self.offset_encoding or "utf-32"


_SAME_NAME = ("window", "max_tokens", "temperature", "top_p", "top_k", "min_p")


async def propose(exchange: Exchange, asked: EditFields) -> Reply:
    """Answer a request."""
    served = await exchange.model(asked.model)
    shell = answer_shell(exchange, served, "edit", "edit")
    with naming({}):
        arguments = (asked.path, asked.text, _cursor(asked))
        ask = Ask("edit", arguments, _options(asked, served.edit_format))
        if asked.stream:
            return Events(_chunks(await exchange.stream(served, ask), shell, asked))
        (done,) = await exchange.answer(served, ask)
    return Json(_edit(done, shell, asked))


def _cursor(asked: EditFields) -> int | tuple[int, int]:
    """The cursor in characters."""
    text, at = asked.text, asked.cursor
    if isinstance(at, int):
        return n_chars(text, at, asked.unit, "cursor")
    if asked.unit == "utf-32":
        return at.line, at.column
    line = text[offset_at(text, at.line, 1) :]
    return at.line, n_chars(line, at.column - 1, asked.unit, "cursor.column") + 1


def _options(asked: EditFields, known: str | None) -> dict[str, Any]:
    options = asked.given(*_SAME_NAME) | seed_options(asked.seed)
    chosen = asked.format or known
    if chosen is not None:
        options["format"] = chosen
    if asked.prediction is not None:
        options["prediction"] = asked.prediction.text
    history = [
        PastEdit(one.path, one.old, one.new, one.line or 1, bool(one.accepted))
        for one in asked.history or ()
    ]
    said = [Diagnostic(one.message, one.line, one.source or "") for one in asked.diagnostics or ()]
    related = [(one.path, one.text) for one in asked.related or ()]
    return {**options, "history": history, "related": related, "diagnostics": said}


async def _chunks(answer: Answer, shell: dict[str, Any], asked: EditFields) -> AsyncIterator[bytes]:
    head = b"data: %b" % dumps({**shell, "object": "edit.chunk", "text": ""})[:-3]
    try:
        async for batch in answer:
            text = "".join(part.text for _, part in batch)
            yield b"%b%b}\n\n" % (head, dumps(text))
        (done,) = answer.completions
        yield event(_edit(done, shell, asked)) + DONE
    except Exception as error:
        yield stream_error(fault_of(error))


def _edit(done: Edit, shell: dict[str, Any], asked: EditFields) -> dict[str, Any]:
    full_text, unit = done.full_text, asked.unit
    told = {
        **shell,
        "format": done.format,
        "is_empty": done.is_empty,
        "start": n_units(done.original, done.start, unit),
        "end": n_units(done.original, done.end, unit),
        "text": done.text,
        "jump": None if done.jump is None else n_units(full_text, done.jump, unit),
        "finish_reason": finish_reason(done),
        "left_out": done.left_out,
        "usage": {**usage([done]), "completion_tokens_details": guess_details([done])},
    }
    return {**told, "full_text": full_text} if asked.full_text else told


EDITS = (Route("POST", "/v1/edit", propose, EditFields),)
