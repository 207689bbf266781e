"""The lines that `halfbyte serve` prints are what editors read, for what the model can do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import halfbyte
from halfbyte.cli.editor_lines import editor_lines
from halfbyte.server.served_model import ServedModel

URL = "http://127.0.0.1:8012"


@pytest.fixture(scope="module")
def infills() -> Any:
    with halfbyte.load("infill-10m", threads=1) as model:
        yield model


def one_that(**can: Any) -> Any:
    """A model of which only what it can do is known."""
    known = {"can_infill": False, "can_chat": False, "edit_format": None, **can}
    model = SimpleNamespace(can_infill=known["can_infill"], tokenizer=None)
    return SimpleNamespace(
        name="m", model=model, can_chat=known["can_chat"], edit_format=known["edit_format"]
    )


def test_a_model_that_infills(infills: halfbyte.Model) -> None:
    lines = dict(editor_lines(URL, ServedModel("infill-10m", infills, 0)))
    assert lines["llama.vim"] == f"let g:llama_config = {{'endpoint_fim': '{URL}/infill'}}"
    assert json.loads(f"{{{lines['llama.vscode']}}}") == {"llama-vscode.endpoint": URL}
    zed = json.loads(f"{{{lines['Zed']}}}")["edit_predictions"]
    assert zed[zed["provider"]] == {
        "api_url": f"{URL}/v1/completions", "model": "infill-10m", "prompt_format": "code_llama",
    }  # fmt: skip
    assert lines["Continue"] == (
        '- {name: halfbyte, provider: ollama, model: "infill-10m", '
        f"apiBase: {URL}, roles: [autocomplete]}}"
    )
    assert "Claude Code" not in lines and "cursortab" not in lines  # it cannot chat


def test_a_model_that_chats() -> None:
    lines = dict(editor_lines(URL, one_that(can_chat=True)))
    assert set(lines) == {"Continue", "OpenAI clients", "Claude Code", "Ollama clients"}
    assert f'provider: openai, model: "m", apiBase: {URL}/v1, apiKey: none' in lines["Continue"]
    assert lines["Claude Code"].endswith("ANTHROPIC_API_KEY=none ANTHROPIC_MODEL=m")


@pytest.mark.parametrize(
    ("known", "zed", "cursortab"),
    [("sweep", "sweep", "sweep"), ("zeta-2", "zeta2", "zeta-2"), ("zeta-2.1", "zeta2_1", None)],
)
def test_a_model_for_edits(known: str, zed: str, cursortab: str | None) -> None:
    lines = dict(editor_lines(URL, one_that(edit_format=known)))
    assert f'"prompt_format": "{zed}"' in lines["Zed"]
    expected = f'provider = {{ type = "{cursortab}", url = "{URL}", model = "m" }}'
    assert lines.get("cursortab") == (expected if cursortab else None)


def test_a_key_is_asked_for(infills: halfbyte.Model) -> None:
    lines = dict(editor_lines(URL, ServedModel("infill-10m", infills, 0), "KEY"))
    assert "'api_key': 'KEY'" in lines["llama.vim"]
    assert '"llama-vscode.api_key": "KEY"' in lines["llama.vscode"]
    assert "apiKey: KEY" in lines["Continue"] and "OPENAI_API_KEY=KEY" in lines["OpenAI clients"]


def test_the_page_says_the_same(infills: halfbyte.Model) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "editors.md").read_text("utf-8")
    lines = dict(editor_lines(URL, ServedModel("NAME", infills, 0)))
    lines |= editor_lines(URL, one_that(edit_format="sweep"))
    assert lines["llama.vim"] in page and lines["llama.vscode"] in page
    assert lines["cursortab"].replace('"m"', '"NAME"') in page
    shown = re.search(r'"edit_predictions": ({.*?^}),$', page, re.DOTALL | re.MULTILINE)
    assert shown is not None
    told = dict(editor_lines(URL, ServedModel("NAME", infills, 0)))["Zed"]
    assert json.loads(f"{{{told}}}") == {"edit_predictions": json.loads(shown[1])}
    parts = lines["Continue"].removeprefix("- ").replace('"NAME"', "NAME")
    assert parts in page
