"""GLM's way from 4.5 on, which Laguna took over: a pair of tags for each argument.

Source: the chat templates of GLM-4.6, GLM-4.7-Flash and Laguna XS 2.1, which differ in line ends.
"""

from __future__ import annotations

from halfbyte.prompt.tools.tagged import Tagged


class Glm(Tagged):
    """<tool_call>name <arg_key>key</arg_key> <arg_value>value</arg_value> </tool_call>"""

    name = "glm"
    begins = ("<tool_call>",)
    end = "</tool_call>"
    texts = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
    key = "<arg_key>"
    key_end = ("</arg_key>", "<arg_value>")
    value_end = "</arg_value>"

    def opening(self, name: str | None) -> str:
        """The tag and the function's name."""
        return "<tool_call>" if name is None else f"<tool_call>{name}"
