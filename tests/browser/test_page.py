"""The page in a real browser: `make test-page`."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.chat_models import CALLS, with_template
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
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[halfbyte.Model]:
    path = with_template(tmp_path_factory.mktemp("chatty") / "chatty.gguf", CALLS)
    with halfbyte.load(path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def served(model: halfbyte.Model, chatty: halfbyte.Model) -> Iterator[str]:
    shelf = Shelf({"infill-10m": "infill-10m", "chatty": "chatty"}, halfbyte.load)
    shelf.put("infill-10m", model)
    shelf.put("chatty", chatty)
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
    opened.wait_for_function("() => document.getElementById('model').options.length === 2")
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
    page.wait_for_function("() => document.querySelector('#shown .ghost').textContent !== ''")
    page.keyboard.press("Escape")
    assert page.inner_text(GHOST) == ""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "code"


def test_typing_asks_by_itself(page: Any) -> None:
    page.fill("#code", "")
    page.focus("#code")
    page.keyboard.type("import num")
    page.wait_for_function("() => document.querySelector('#shown .ghost').textContent !== ''")
    page.wait_for_function("() => document.getElementById('speed').textContent.match(/^[0-9]/)")


@pytest.mark.parametrize("prompt", ["def f(", "import nu", "# 😀 é = ("])
def test_tokens_tell_how_likely_they_were(page: Any, model: halfbyte.Model, prompt: str) -> None:
    """Each token, though a prompt's last word is healed and texts come in other pieces."""
    page.click("#tab-complete")
    page.fill("#prompt", prompt)
    page.fill("#complete-tokens", "12")
    page.keyboard.press("Control+Enter")
    done = model.complete(prompt, max_tokens=12, logprobs=4)
    page.wait_for_function(
        "text => document.getElementById('continuation').textContent === text", arg=done.text
    )
    told = [one for one in done.logprobs if one.offset + len(one.bytes.decode()) > 0]
    spans = page.locator("#continuation .token")
    assert "".join(spans.all_text_contents()) == done.text
    assert spans.count() == len(told) > 3
    for i in (0, len(told) - 1):
        spans.nth(i).hover()
        likely = page.inner_text("#likely").splitlines()[0]
        assert likely.split()[0] == f"{100 * math.exp(told[i].logprob):.1f}"
        assert json.loads(likely.split("%  ")[1]) == told[i].bytes.decode()


def say(page: Any, text: str) -> None:
    page.fill("#said", text)
    page.keyboard.press("Enter")


def sent(page: Any) -> list[list[str]]:
    """The roles of each request for an answer, as they come."""
    asked: list[list[str]] = []
    page.on(
        "request",
        lambda one: (
            one.url.endswith("/chat/completions")
            and asked.append([message["role"] for message in one.post_data_json["messages"]])
        ),
    )
    return asked


IS_ANSWERED = """() => document.querySelector('#chat .stop').disabled
    && document.querySelectorAll('li.assistant .token').length > 0"""


def test_a_chat_goes_on_and_its_tokens_tell_how_likely_they_were(page: Any) -> None:
    asked = sent(page)
    page.select_option("#model", "chatty")
    page.click("#tab-chat")
    say(page, "one")
    page.wait_for_function("() => document.querySelector('li.assistant .token')")
    say(page, "two")  # while the answer is on its way, which ends it
    page.wait_for_function("() => document.querySelectorAll('li.assistant').length === 2")
    page.wait_for_function(IS_ANSWERED)
    assert asked == [["user"], ["user", "assistant", "user"]]
    page.hover("li.assistant .token >> nth=0")
    assert "%" in page.inner_text("#likely")


def test_a_chat_begins_anew_while_an_answer_is_on_its_way(page: Any) -> None:
    asked = sent(page)
    page.select_option("#model", "chatty")
    page.click("#tab-chat")
    say(page, "one")
    page.wait_for_function("() => document.querySelector('li.assistant .token')")
    page.click("#anew")
    say(page, "two")
    page.wait_for_function(IS_ANSWERED)
    assert asked == [["user"], ["user"]]


def test_what_has_no_answer_may_be_sent_again(browser: Any, served: str) -> None:
    page = browser.new_page()
    asked = sent(page)
    page.goto(served)
    page.wait_for_function("() => document.getElementById('model').options.length === 2")
    page.click("#tab-chat")
    say(page, "one")  # to a model that cannot chat
    page.wait_for_function("() => document.getElementById('said').value === 'one'")
    assert "chat template" in page.inner_text("#trouble")
    page.select_option("#model", "chatty")
    say(page, "one")
    page.wait_for_function("() => document.querySelector('li.assistant .token')")
    assert asked == [["user"], ["user"]] and page.locator("li.user").count() == 1
    page.close()


def test_a_key_is_asked_for(browser: Any, model: halfbyte.Model) -> None:
    shelf = Shelf({"infill-10m": "infill-10m"}, halfbyte.load)
    shelf.put("infill-10m", model)
    with serving(shelf, ServerSettings(keys={"secret-secret": "ada"})) as url:
        page = browser.new_page()
        page.goto(url)
        for key in ("wrong", "secret-secret"):
            page.fill("#key", key)
            with page.expect_response("**/v1/models") as answer:
                page.keyboard.press("Enter")
            assert answer.value.status == (200 if key == "secret-secret" else 401)
            if key == "wrong":
                page.wait_for_selector("#key-trouble", state="visible")
        page.wait_for_function("() => document.getElementById('model').options.length === 1")
        assert not page.is_visible("#ask-key") and not page.is_visible("#trouble")
        page.close()


def test_who_gives_no_key_is_not_asked_again(browser: Any, model: halfbyte.Model) -> None:
    shelf = Shelf({"infill-10m": "infill-10m"}, halfbyte.load)
    shelf.put("infill-10m", model)
    with serving(shelf, ServerSettings(keys={"secret-secret": "ada"})) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#ask-key", state="visible")
        assert not page.is_visible("#key-trouble")
        page.keyboard.press("Escape")
        page.wait_for_selector("#trouble", state="visible")
        assert "wants a key" in page.inner_text("#trouble")
        page.wait_for_timeout(2500)  # the state is asked for again
        assert not page.is_visible("#ask-key")
        page.close()


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
