"""Qwen3-Coder's way, which Qwen3.5 and Nemotron 3 took over.

Source: the chat template of Qwen3-Coder-30B-A3B-Instruct. Its models leave out the first tag at
times (llama.cpp's and vLLM's readers of it say so).
"""

from __future__ import annotations

from halfbyte.prompt.tools.tagged import Tagged


class Qwen3Coder(Tagged):
    """<tool_call> <function=name> <parameter=key> value </parameter> </function> </tool_call>"""

    name = "qwen3-coder"
    begins = ("<tool_call>", "<function=")
    end = "</tool_call>"
    head = "<function="
    head_end = ">"
    key = "<parameter="
    key_end = (">",)
    value_end = "</parameter>"
    tail = "</function>"
    has_lines = True

    def opening(self, name: str | None) -> str:
        """The tags and the function's name."""
        begin = "<tool_call>\n<function="
        return begin if name is None else f"{begin}{name}>\n"
