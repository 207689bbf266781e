"""The blocks of docs/editors.md, as a user pastes them."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "editors.md"


def recipe(section: str, url: str, name: str, n: int = 0) -> str:
    """A section's block of code, for a server and a model of one's own."""
    [text] = re.findall(
        rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", _PAGE.read_text("utf-8"), re.M | re.S
    )
    block: str = re.findall(r"^```\w+\n(.*?)^```$", text, re.M | re.S)[n]
    return block.replace("http://127.0.0.1:8012", url).replace("NAME", name)


def exports(script: str) -> dict[str, str]:
    """The variables that a script of the shell sets."""
    lines = re.findall(r"^export (.*)$", script, re.M)
    return dict(word.split("=", 1) for line in lines for word in line.split())
