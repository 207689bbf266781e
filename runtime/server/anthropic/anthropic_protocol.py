"""The routes of Anthropic's Messages API."""

from __future__ import annotations

from halfbyte.server.anthropic.anthropic_answers import error
from halfbyte.server.anthropic.anthropic_messages import MESSAGES
from halfbyte.server.protocol import Protocol

PROTOCOL = Protocol("Anthropic", MESSAGES, error, prefixes=("/v1/messages",))
