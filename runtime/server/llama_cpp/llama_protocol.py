"""The routes of llama.cpp's protocol."""

from __future__ import annotations

from halfbyte.server.llama_cpp.llama_completion import COMPLETION
from halfbyte.server.llama_cpp.llama_embedding import EMBEDDING
from halfbyte.server.llama_cpp.llama_facts import FACTS
from halfbyte.server.llama_cpp.llama_infill import INFILL
from halfbyte.server.llama_cpp.llama_shapes import llama_error
from halfbyte.server.llama_cpp.slot_files import SLOTS
from halfbyte.server.llama_cpp.tokenizing import TOKENIZING
from halfbyte.server.protocol import Protocol

_ROUTES = (*INFILL, *COMPLETION, *TOKENIZING, *EMBEDDING, *FACTS, *SLOTS)
_PREFIXES = (
    "/infill", "/completion", "/tokenize", "/detokenize", "/apply-template", "/props", "/slots",
    "/lora-adapters", "/models", "/embedding",
)  # fmt: skip

PROTOCOL = Protocol("llama.cpp", _ROUTES, llama_error, prefixes=_PREFIXES)
