"""Firefunction's way, which templates made for Phi-4-mini ask for, too: a word and a list.

Source: the chat template of firefunction-v2.
"""

from __future__ import annotations

from halfbyte.prompt.tools.listed import Listed


class Firefunction(Listed):
    """functools[{"name": ..., "arguments": {...}}, ...] up to the answer's end."""

    name = "functools"
    begins = ("functools",)
