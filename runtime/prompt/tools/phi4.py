"""Phi-4-mini's way: a list between two tokens.

Source: the model card of Phi-4-mini-instruct, "Tool-enabled function-calling format", and the
tokens of its vocabulary. Its template takes the functions from a system message, as a text, and
shows a message's content alone.
"""

from __future__ import annotations

from halfbyte.prompt.tools.listed import Listed


class Phi4(Listed):
    """<|tool_call|>[{"name": ..., "arguments": {...}}, ...]<|/tool_call|>"""

    name = "phi-4"
    begins = ("<|tool_call|>",)
    end = "<|/tool_call|>"
