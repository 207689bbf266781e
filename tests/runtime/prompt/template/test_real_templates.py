"""Templates as models' files bring them: each gives what plain Jinja gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.prompt.template import ChatTemplate

TEMPLATES = {
    path.stem: path.read_text("utf-8") for path in (Path(__file__).parent / "templates").iterdir()
}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How is <it> in 'a' \"city\"?",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "é": {}}},
    },
}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich"}}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one": [user("Hello")],
    "turns": [user(" a\n"), assistant("b"), user("ü 漢字 \U0001f600")],
    "system": [system("Be <brief>."), user("a"), assistant(" b "), user("c")],
    "tools": [
        system("s"), user("How is it?"),
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "{rain}"}, {"role": "tool", "content": "sun"},
        assistant("<think>\nhm\n</think>\n\nIt rains."), user("Thanks"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("tools", [None, [TOOL], [TOOL, TOOL]], ids=["none", "one", "two"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_real_templates_render_as_plain_jinja_renders_them(
    name: str, conversation: str, tools: Any, plain: Any
) -> None:
    messages = CONVERSATIONS[conversation]
    before = json.dumps(messages)
    compiled = ChatTemplate(TEMPLATES[name])
    for goes_on in (True, False):
        given = {"bos_token": "<s>", "eos_token": "</s>", "tools": tools}
        expected = plain(TEMPLATES[name], messages=messages, add_generation_prompt=goes_on, **given)
        assert compiled.render(messages, add_generation_prompt=goes_on, **given) == expected
    assert len(expected) > 10
    assert json.dumps(messages) == before


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_long_conversations_render(name: str, plain: Any) -> None:
    """200 messages of 2,000 characters, and 20 tools."""
    text = "def f(x):\n    return {'é': [x]}  # <b> & c\n" * 50
    messages = [user(text[:2000]), assistant(f"<think>\n{text[:200]}\n</think>\n\n{text[:1800]}")]
    given = {"bos_token": "<s>", "eos_token": "</s>", "tools": [TOOL] * 20}
    given["add_generation_prompt"] = True
    messages = [*messages * 99, user("c")]
    got = ChatTemplate(TEMPLATES[name]).render(messages, **given)
    assert got == plain(TEMPLATES[name], messages=messages, **given)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("chat_inst", "codellama_instruct_7b_13b_34b"), ("chat_70b", "codellama_instruct_70b")],
)
def test_code_llamas_templates(shared_dir: Path, kind: str, name: str, plain: Any) -> None:
    folder = shared_dir / "data/golden"
    source = json.loads((folder / "chat_templates.json").read_text("utf-8"))[name]
    compiled = ChatTemplate(source)
    lines = (folder / "golden_chat.jsonl").read_text("utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]
    cases = [row for row in rows if row["kind"] == kind]
    assert len(cases) > 10
    for case in cases:
        given = {"bos_token": "<s>", "eos_token": "</s>"}
        text = compiled.render(case["input"], **given)
        assert text == case["hf_text"], case["id"]
        assert text == plain(source, messages=case["input"], **given)


def test_strict_alternation_is_refused() -> None:
    compiled = ChatTemplate(TEMPLATES["mistral"])
    with pytest.raises(RequestError, match="Roles take turns, but 2 is user"):
        compiled.render([user("a"), user("b")], bos_token="", eos_token="", tools=None)


def test_what_ernie_is_asked() -> None:
    """As Baidu's own tools have it: a system's words end a line, and so do a user's."""
    turns = [system("Be brief."), user("a"), assistant("b"), user("c")]
    asked = ChatTemplate(TEMPLATES["ernie"]).render(turns)
    begin, end = "<|begin_of_sentence|>", "<|end_of_sentence|>"
    assert asked == f"{begin}Be brief.\nUser: a\nAssistant: b{end}User: c\nAssistant: "
