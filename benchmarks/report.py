"""Writes the measured parts of README and docs from the newest lines of benchmarks/results.

    python benchmarks/report.py            replaces what stands between the markers
    python benchmarks/report.py --check    exit 1 if that would change a file

README shows a selection, docs/ all of it. Goals and what is reached: see report_goals.py; speed:
report_speed.py; long contexts: report_depths.py, report_long_prompt.py; experts and hybrids:
report_experts.py; callers, caches, typing and edits: report_callers.py; several answers, adapters
and constraints: report_answers.py; the server: report_server.py; conversion: report_conversion.py.
Nothing between the markers is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import report_answers
import report_callers
import report_conversion
import report_depths
import report_experts
import report_goals
import report_long_prompt
import report_server
import report_speed

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- {}: begin (benchmarks/report.py writes this part) -->\n"
END = "<!-- {}: end -->\n"
# File -> name of a part -> what writes it.
PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"speed": report_speed.selection, "quality": report_conversion.selection},
    "docs/performance.md": {
        "goals": report_goals.section,
        "speed": report_speed.section,
        "depths": report_depths.section,
        "long prompt": report_long_prompt.section,
        "experts": report_experts.section,
        "callers": report_callers.section,
        "answers": report_answers.section,
        "server": report_server.section,
    },
    "docs/conversion.md": {"quality": report_conversion.section},
}


def main() -> None:
    """Rewrite or check the files."""
    changed = {file: new for file in PARTS if (new := rewritten(file)) != _read(file)}
    if "--check" in sys.argv:
        sys.exit(f"not what was measured: {', '.join(changed)}" if changed else 0)
    for file, text in changed.items():
        (ROOT / file).write_text(text, "utf-8")


def rewritten(file: str) -> str:
    """A file's text with its parts made anew.

    Raises:
        ValueError: it lacks a marker.
    """
    text = _read(file)
    for name, write in PARTS[file].items():
        begin, end = BEGIN.format(name), END.format(name)
        head, has_begin, rest = text.partition(begin)
        _, has_end, tail = rest.partition(end)
        if not has_begin or not has_end:
            raise ValueError(f"{file}: expected the markers of {name}")
        text = head + begin + write() + end + tail
    return text


def _read(file: str) -> str:
    return (ROOT / file).read_text("utf-8")


if __name__ == "__main__":
    main()
