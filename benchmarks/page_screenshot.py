"""docs/page.png: the server's page with a suggestion at the cursor.

`make test-page` installs what it takes; then

    .venv/bin/python benchmarks/page_screenshot.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from server_process import ServerProcess

TARGET = Path(__file__).resolve().parent.parent / "docs" / "page.png"
PREFIX = "import numpy as np\n\n\ndef mean(values):\n    retu"
SUFFIX = "\n\n\nprint(mean([1, 2, 3]))\n"
IS_SUGGESTED = "() => document.getElementById('suggestion').textContent"
IS_LOOKED_AT = "() => !document.getElementById('memory').textContent.match(/^(–|0.0)/)"


def take(url: str, chromium: str, target: Path) -> None:
    """Have the gap filled, and take a picture of the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 620}, color_scheme="light")
        page.goto(url)
        page.wait_for_function("() => document.getElementById('model').options.length")
        page.fill("#code", PREFIX + SUFFIX)
        page.fill("#fill-tokens", "7")
        page.focus("#code")
        page.evaluate(
            "at => document.getElementById('code').setSelectionRange(at, at)", len(PREFIX)
        )
        for _ in range(2):  # the second answer takes no longer than it has to
            page.keyboard.press("Escape")
            page.keyboard.press("Control+Space")
            page.wait_for_function(IS_SUGGESTED, timeout=120_000)
        page.wait_for_function(IS_LOOKED_AT)
        page.keyboard.press("Shift")  # a cursor that has just been used is seen
        page.screenshot(path=target, caret="initial")
        browser.close()


def main() -> None:
    """Take it of a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--model", default="infill-10m")
    args = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium; CHROMIUM=PATH names one")
    command = (sys.executable, "-m", "halfbyte", "serve", "-m", args.model, "--port", "{port}")
    with ServerProcess(command) as server:
        take(f"http://127.0.0.1:{server.port}", chromium, args.target)


if __name__ == "__main__":
    main()
