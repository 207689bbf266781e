"""The routes of OpenAI's API."""

from __future__ import annotations

from halfbyte.server.openai.chats import CHATS
from halfbyte.server.openai.completions import COMPLETIONS
from halfbyte.server.openai.embeddings import EMBEDDINGS
from halfbyte.server.openai.input_counts import COUNTS
from halfbyte.server.openai.model_list import MODELS
from halfbyte.server.openai.next_edits import EDITS
from halfbyte.server.openai.responses import RESPONSES
from halfbyte.server.openai.shapes import error
from halfbyte.server.protocol import Protocol

ROUTES = (*COMPLETIONS, *CHATS, *RESPONSES, *COUNTS, *MODELS, *EMBEDDINGS, *EDITS)
PROTOCOL = Protocol("OpenAI", ROUTES, error, prefixes=("/v1/",))
