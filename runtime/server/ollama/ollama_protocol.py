"""The routes of Ollama's API."""

from __future__ import annotations

from halfbyte.server.ollama.generate import GENERATE
from halfbyte.server.ollama.ollama_answers import error
from halfbyte.server.ollama.ollama_chat import OLLAMA_CHAT
from halfbyte.server.ollama.ollama_embeddings import OLLAMA_EMBEDDINGS
from halfbyte.server.ollama.ollama_models import OLLAMA_MODELS
from halfbyte.server.ollama.ollama_refused import OLLAMA_REFUSED
from halfbyte.server.protocol import Protocol

PROTOCOL = Protocol(
    "Ollama",
    (*GENERATE, *OLLAMA_CHAT, *OLLAMA_MODELS, *OLLAMA_EMBEDDINGS, *OLLAMA_REFUSED),
    error,
    prefixes=("/api/",),
)
