"""Which way of calling functions a chat template asks for."""

from __future__ import annotations

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.tools.call_format import CallFormat
from halfbyte.prompt.tools.generic import Generic
from halfbyte.prompt.tools.hermes import Hermes
from halfbyte.prompt.tools.llama3 import Llama3
from halfbyte.prompt.tools.mistral import Mistral, NamedMistral

GENERIC = Generic()
# The first whose texts all stand in the template.
_ASKED = (
    (("[TOOL_CALLS]", "[ARGS]"), NamedMistral()),
    (("[TOOL_CALLS]",), Mistral()),
    (("<tool_calls>",), None),  # Apriel's
    (("<tool_call>", "<function="), None),  # Qwen3-Coder's XML
    (("<tool_call>", "<arg_key>"), None),  # GLM's
    (("<tool_call>", "<invoke"), None),  # MiniMax'
    (("<tool_call>",), Hermes()),
    (("functools",), None),  # Firefunction's
    (("<function=",), None),  # Functionary's
    (("<|start_header_id|>", "parameters"), Llama3()),
)


def format_of(template: str, path: str) -> CallFormat:
    """How a model calls functions whose template, of the file `path`, lists them.

    Raises:
        UnsupportedModelError: in a way that is not known here.
    """
    for texts, known in _ASKED:
        if all(text in template for text in texts):
            if known is None:
                break
            return known
    raise UnsupportedModelError(
        path,
        "tokenizer.chat_template",
        expected="calls of tools as Hermes, Llama 3 or Mistral write them",
        got="another way",
        hint="this model's tools cannot be used here yet; chat without tools works",
    )
