"""`POST /infill`: what belongs between a prefix and a suffix, beside parts of other files.

The prompt is the library's, as the model was trained on it; llama.cpp's own differs, see
docs/server-llama-cpp.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import halfbyte
from halfbyte.errors import UnsupportedModelError
from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.llama_cpp.answer_replies import Call, reply_to
from halfbyte.server.llama_cpp.generation_options import generation_options, indent_options
from halfbyte.server.llama_cpp.generation_settings import generation_settings
from halfbyte.server.llama_cpp.llama_shapes import model_of
from halfbyte.server.llama_cpp.request_schema import ExtraChunk, InfillFields
from halfbyte.server.llama_cpp.result_shapes import Shell
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Reply

_NAMELESS = "tmp"  # what llama.cpp calls a part without a name
_MISSING = "prefix token is missing. suffix token is missing. middle token is missing."


async def infill(exchange: Exchange, asked: InfillFields) -> Reply:
    """Answer a request."""
    model = await model_of(exchange, asked.model)
    n = asked.n_answers(exchange)
    prefix = asked.input_prefix + (asked.prompt or "")
    options = generation_options(asked, model) | indent_options(asked, prefix)
    # An answer depends on nothing that was asked before.
    options |= {"repository": repository(asked.input_extra or ()), "reuse_answer": False}
    shell = Shell(asked, model.name, generation_settings(asked, model), prefix)
    ask = Ask("infill", (prefix, asked.input_suffix), options, n)
    try:
        return await reply_to(exchange, model, [Call(ask, shell)])
    except UnsupportedModelError as error:
        if not error.field.startswith("infilling"):
            raise
        message = f"Infill is not supported by this model: {_MISSING} {error.hint}"
        raise Fault("not_supported", message) from error


def repository(chunks: Iterable[ExtraChunk]) -> halfbyte.Repository | None:
    """Parts of other files, in the order in which they came: they stay where they are.

    Parts of one file have paths of their own to it.
    """
    files: dict[str, str] = {}
    n_before: Counter[str] = Counter()
    for chunk in chunks:
        name = chunk.filename or _NAMELESS
        while (path := "./" * n_before[name] + name) in files:
            n_before[name] += 1
        files[path] = chunk.text
    if not files:
        return None
    return halfbyte.Repository(files, current="filename", name="myproject", is_apart=True)


INFILL = (Route("POST", "/infill", infill, InfillFields),)
