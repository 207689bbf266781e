"""The routes of llama.cpp's protocol."""

from __future__ import annotations

from halfbyte.server.llama_cpp.llama_infill import INFILL
from halfbyte.server.llama_cpp.llama_shapes import llama_error
from halfbyte.server.protocol import Protocol

_PREFIXES = (
    "/infill", "/completion", "/tokenize", "/detokenize", "/apply-template", "/props", "/slots",
    "/health", "/lora-adapters", "/models", "/embedding",
)  # fmt: skip

PROTOCOL = Protocol("llama.cpp", (*INFILL,), llama_error, prefixes=_PREFIXES)
