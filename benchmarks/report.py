"""Writes the README's measured sections from the newest lines of benchmarks/results.

    python benchmarks/report.py            replaces what stands between the markers
    python benchmarks/report.py --check    exit 1 if that would change the README

Speed: see report_speed.py; conversion: see report_conversion.py. Nothing between the markers is
written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import report_conversion
import report_speed

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- {}: begin (benchmarks/report.py writes this part) -->\n"
END = "<!-- {}: end -->\n"


def main() -> None:
    """Rewrite or check the README."""
    text = wanted = README.read_text("utf-8")
    for name, body in (
        ("speed", report_speed.section()),
        ("conversion", report_conversion.section()),
    ):
        begin, end = BEGIN.format(name), END.format(name)
        head, _, rest = wanted.partition(begin)
        _, _, tail = rest.partition(end)
        wanted = head + begin + body + end + tail
    if "--check" in sys.argv:
        sys.exit(int(wanted != text))
    README.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
