"""Whether a text is Python, or could become it: asked of the parser that runs this.

Nothing is compiled or run. Whatever the text holds, there is an answer and no exception.
"""

from __future__ import annotations

import ast
import re
import sys

_FLAGS = ast.PyCF_ONLY_AST
_ALLOW_INCOMPLETE = 0x4000  # as codeop has it
_CAN_TELL = sys.version_info >= (3, 11)
_INCOMPLETE = "incomplete input"
# Texts of which the parser warns, by means that all threads share: "\d" and "1if".
_ESCAPE = re.compile(r"\\(?:\\|(?=[^\s'\"\\]))")
_NUMBER = re.compile(r"\b\d[\d_.]*(?=(?:and|else|for|if|in|is|not|or)\b)")


def tree_of(text: str) -> ast.Module | None:
    """Its syntax tree; None where it does not parse."""
    try:
        return ast.parse(_quiet(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes, deep nesting
        return None


def parses(text: str) -> bool:
    """Whether it is a module."""
    return tree_of(text) is not None


def can_go_on(text: str) -> bool:
    """Whether a text of whole lines could be the beginning of a module.

    Python 3.10 cannot tell, and says that all can.
    """
    if not _CAN_TELL:
        return True
    try:
        compile(_quiet(text), "", "exec", _FLAGS | _ALLOW_INCOMPLETE, dont_inherit=True)
    except SyntaxError as error:
        return error.msg == _INCOMPLETE
    except ValueError:  # a null byte
        return False
    except (RecursionError, MemoryError):
        return True
    return True


def _quiet(text: str) -> str:
    """The same for the parser, which does not warn of it."""
    return _NUMBER.sub(r"\g<0> ", _ESCAPE.sub(r"\\\\", text))
