"""The page in a real browser: `make test-page`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-page` installs it")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; CHROMIUM=PATH names one")
GHOST, WAIT_MS = "#shown .ghost", 60_000


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load("infill-10m") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def served(model: halfbyte.Model) -> Iterator[str]:
    shelf = Shelf({"infill-10m": "infill-10m"}, halfbyte.load)
    shelf.put("infill-10m", model)
    with serving(shelf) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, served: str) -> Iterator[Any]:
    """The page; nothing that it does may be refused by its policy or fail."""
    opened = browser.new_page(viewport={"width": 1100, "height": 800})
    wrong: list[str] = []
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.set_default_timeout(WAIT_MS)
    opened.goto(served)
    opened.wait_for_function("document.getElementById('model').options.length === 1")
    yield opened
    opened.close()
    assert not wrong


def put(page: Any, prefix: str, suffix: str) -> None:
    """Text in the editor with the cursor between."""
    page.uncheck("#while-typing")
    page.fill("#code", prefix + suffix)
    page.evaluate("at => document.getElementById('code').setSelectionRange(at, at)", len(prefix))


def test_tab_accepts_what_belongs_at_the_cursor(page: Any, model: halfbyte.Model) -> None:
    prefix, suffix = "import nu", " as np\n\nx = np.zeros(3)\n"
    put(page, prefix, suffix)
    expected = model.infill(prefix, suffix, max_tokens=4).text
    page.fill("#fill-tokens", "4")
    page.focus("#code")
    page.keyboard.press("Control+Space")
    page.wait_for_function(
        "text => document.querySelector('#shown .ghost').textContent === text", arg=expected
    )
    assert page.input_value("#code") == prefix + suffix
    page.keyboard.press("Tab")
    assert page.input_value("#code") == prefix + expected + suffix
    assert page.inner_text(GHOST) == ""
    assert page.evaluate("document.getElementById('code').selectionStart") == len(prefix + expected)


def test_escape_dismisses_and_tab_leaves_the_editor(page: Any) -> None:
    put(page, "import nu", " as np\n")
    page.focus("#code")
    page.keyboard.press("Control+Space")
    page.wait_for_function("document.querySelector('#shown .ghost').textContent !== ''")
    page.keyboard.press("Escape")
    assert page.inner_text(GHOST) == ""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "code"


def test_typing_asks_by_itself(page: Any) -> None:
    page.fill("#code", "")
    page.focus("#code")
    page.keyboard.type("import num")
    page.wait_for_function("document.querySelector('#shown .ghost').textContent !== ''")
    page.wait_for_function("document.getElementById('speed').textContent.match(/^[0-9]/)")


def test_tokens_tell_how_likely_they_were(page: Any, model: halfbyte.Model) -> None:
    page.click("#tab-complete")
    page.fill("#prompt", "def f(")
    page.fill("#complete-tokens", "6")
    page.keyboard.press("Control+Enter")
    done = model.complete("def f(", max_tokens=6, logprobs=4)
    page.wait_for_function(
        "text => document.getElementById('continuation').textContent === text", arg=done.text
    )
    page.hover(".token >> nth=0")
    assert page.is_visible("#likely")
    assert "%" in page.inner_text("#likely")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [340, 1100])
def test_it_fits_a_phone_and_a_screen(
    browser: Any, served: str, scheme: str, width: int, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 720}, color_scheme=scheme)
    page.goto(served)
    for tab in ("fill", "complete", "chat"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
        page.screenshot(path=folder / f"{tab}-{scheme}-{width}.png")
    page.close()


def test_tabs_are_worked_by_keys(page: Any) -> None:
    page.focus("#tab-fill")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#complete") and not page.is_visible("#fill")
    page.keyboard.press("ArrowLeft")
    assert page.is_visible("#fill")
