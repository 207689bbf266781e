"""Granite 3's way: a token and a list up to the answer's end; Granite 4 has Hermes'.

Source: the chat template of Granite 3.3, which says so to the model, and shows a message's content
alone.
"""

from __future__ import annotations

from halfbyte.prompt.tools.listed import Listed


class Granite(Listed):
    """<|tool_call|>[{"name": ..., "arguments": {...}}, ...] up to the answer's end."""

    name = "granite"
    begins = ("<|tool_call|>",)
