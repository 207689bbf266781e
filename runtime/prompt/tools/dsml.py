"""DeepSeek's way from V3.2 on: tags that hold a token, and say of each argument what it is.

Source: the chat template of DeepSeek-V3.2 that llama.cpp has.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from halfbyte.prompt.tools.parameters import TEXT, Parameters
from halfbyte.prompt.tools.tagged import Tagged

_MARK = "｜DSML｜"


class Dsml(Tagged):
    """<｜DSML｜invoke name="name"> <｜DSML｜parameter name="key" string="true">value ..."""

    name = "dsml"
    begins = (f"<{_MARK}function_calls>",)
    end = f"</{_MARK}function_calls>"
    texts = (_MARK,)
    head = f'<{_MARK}invoke name="'
    head_end = '">'
    key = f'<{_MARK}parameter name="'
    value_end = f"</{_MARK}parameter>"
    tail = f"</{_MARK}invoke>"
    has_several = is_last = True

    def key_ends(self, *, is_text: bool) -> tuple[str, ...]:
        """It says whether a text follows."""
        return (f'" string="{str(is_text).lower()}">',)

    def opening(self, name: str | None) -> str:
        """The tags and the function's name."""
        begin = f"{self.begins[0]}\n{self.head}"
        return begin if name is None else f"{begin}{name}{self.head_end}\n"

    def argument(self, found: re.Match[str], parameters: Parameters) -> tuple[str, Any]:
        """A text where it says so, and the schema does not say otherwise."""
        name, flag, text = found[1], found[2], found[3]
        kinds = parameters.kinds(name)
        if flag == "true" and (not kinds or TEXT in kinds):
            return name, text
        return name, parameters.value(name, text)

    @cached_property
    def _argument(self) -> re.Pattern[str]:
        key, end = re.escape(self.key), re.escape(self.value_end)
        return re.compile(rf'{key}([^<>"]+)"(?: string="(true|false)")?>(.*?){end}\s*', re.DOTALL)
