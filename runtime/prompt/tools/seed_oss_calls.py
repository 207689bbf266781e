"""Seed-OSS' way: Qwen3-Coder's tags, without lines around values, between a token and another.

Source: the chat template of Seed-OSS-36B-Instruct.
"""

from __future__ import annotations

from halfbyte.prompt.tools.tagged import Tagged


class SeedOss(Tagged):
    """<seed:tool_call> <function=name> <parameter=key>value</parameter> </function> ..."""

    name = "seed-oss"
    begins = ("<seed:tool_call>",)
    end = "</seed:tool_call>"
    head = "<function="
    head_end = ">"
    key = "<parameter="
    key_end = (">",)
    value_end = "</parameter>"
    tail = "</function>"

    def opening(self, name: str | None) -> str:
        """The tags and the function's name."""
        begin = "<seed:tool_call>\n<function="
        return begin if name is None else f"{begin}{name}>\n"
