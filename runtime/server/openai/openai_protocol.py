"""The routes of OpenAI's API."""

from __future__ import annotations

from halfbyte.server.openai.chats import CHATS
from halfbyte.server.openai.completions import COMPLETIONS
from halfbyte.server.openai.responses import RESPONSES
from halfbyte.server.openai.shapes import error
from halfbyte.server.protocol import Protocol

PROTOCOL = Protocol("OpenAI", (*COMPLETIONS, *CHATS, *RESPONSES), error, prefixes=("/v1/",))
