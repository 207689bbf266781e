"""Nemotron Nano 2's way: a list between two tags; Nemotron 3 has Qwen3-Coder's.

Source: the chat template of NVIDIA-Nemotron-Nano-9B-v2, which says so to the model.
"""

from __future__ import annotations

from halfbyte.prompt.tools.listed import Listed


class Nemotron(Listed):
    """<TOOLCALL>[{"name": ..., "arguments": {...}}, ...]</TOOLCALL>"""

    name = "nemotron"
    begins = ("<TOOLCALL>",)
    end = "</TOOLCALL>"
