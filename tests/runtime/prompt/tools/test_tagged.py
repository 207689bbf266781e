"""Calls between tags: read, and enforced so that whatever comes is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from played_chat import (
    DSML,
    GLM,
    QWEN3_CODER,
    SEED_OSS,
    TOOL,
    TOOLS,
    USER,
    Chat,
    calls,
    trips,
)

from halfbyte.prompt.tools.call_format import MalformedCall
from halfbyte.prompt.tools.dsml import Dsml
from halfbyte.prompt.tools.glm import Glm
from halfbyte.prompt.tools.qwen3_coder import Qwen3Coder
from halfbyte.prompt.tools.seed_oss_calls import SeedOss
from halfbyte.prompt.tools.tagged import Tagged
from halfbyte.tokenizer import Tokenizer

FUNCTIONS = {tool["function"]["name"]: tool["function"] for tool in TOOLS}  # type: ignore[index]
TRIP = {"city": "Rome", "days": 3, "by": ["bus"]}
CODER = ("<function=trip>\n<parameter=days>\n3\n</parameter>\n"
         "<parameter=city>\nRome\n</parameter>\n"
         '<parameter=by>\n["bus"]\n</parameter>\n</function>')  # fmt: skip
SEED = ("<function=trip>\n<parameter=city>Rome</parameter>\n<parameter=days>3</parameter>\n"
        "<parameter=by>['bus']</parameter>\n</function>")  # fmt: skip
INVOKED = ('<｜DSML｜invoke name="trip">\n'
           '<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>\n'
           '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n'
           '<｜DSML｜parameter name="by" string="false">["bus"]</｜DSML｜parameter>\n'
           "</｜DSML｜invoke>\n")  # fmt: skip
PAIRS = (
    "<arg_key>city</arg_key>{0}<arg_value>Rome</arg_value>{0}<arg_key>days</arg_key>{0}"
    '<arg_value>3</arg_value>{0}<arg_key>by</arg_key>{0}<arg_value>["bus"]</arg_value>{0}'
)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Qwen3Coder(), f"\n{CODER}\n"),
        (Qwen3Coder(), CODER.removeprefix("<function=")),  # whose mark was that
        (SeedOss(), f"\n{SEED}\n"),
        (Glm(), "trip\n" + PAIRS.format("\n")),
        (Glm(), "trip" + PAIRS.format("")),
        (Dsml(), f"\n{INVOKED}"),
    ],
)
def test_calls_are_read_by_their_schemas(form: Tagged, text: str) -> None:
    assert form.parse(text, FUNCTIONS) == [("trip", TRIP)]


@pytest.mark.parametrize(("value", "is_lined"), [("a\n<b>\n", True), (" a ", False), ("", True)])
def test_texts_stay_as_they_are(value: str, is_lined: bool) -> None:
    line = "\n" if is_lined else ""
    text = f"<function=weather>\n<parameter=city>{line}{value}{line}</parameter>\n</function>"
    assert Qwen3Coder().parse(text, FUNCTIONS) == [("weather", {"city": value})]
    pair = f"weather\n<arg_key>city</arg_key>\n<arg_value>{value}</arg_value>"
    assert Glm().parse(pair, FUNCTIONS) == [("weather", {"city": value})]


def test_what_is_said_to_be_a_text_is_one() -> None:
    two = INVOKED.replace("trip", "free").replace(">Rome<", ">7<").replace('"true">3', '"true">4')
    assert Dsml().parse(two + INVOKED, FUNCTIONS) == [
        ("free", {"city": "7", "days": 3, "by": ["bus"]}), ("trip", TRIP)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "form", [Qwen3Coder(), SeedOss(), Glm(), Dsml()], ids=lambda form: form.name
)
def test_what_is_no_call_says_why(form: Tagged) -> None:
    for text in ("", "<", "two words", '{"name": "f"}', f"{form.head}trip{form.head_end} more"):
        with pytest.raises(MalformedCall, match="expected"):
            form.parse(text)
    ends = "".join(form.key_ends(is_text=False))
    cut = f"{form.head}trip{form.head_end}\n{form.key}days{ends}x{form.value_end}"
    with pytest.raises(MalformedCall, match="days: expected integer"):
        form.parse(cut, FUNCTIONS)
    found = form.parse(form.opening("now").removeprefix(form.begins[0]))
    assert found == [("now", {})] and form.opening(None) in form.opening("now")


@pytest.mark.parametrize("template", [QWEN3_CODER, SEED_OSS, GLM, DSML])
def test_calls_of_a_model_that_says_anything_are_well_formed(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    assert list(trips(open_with(template), 5))


@pytest.mark.parametrize(
    ("template", "answer", "n"),
    [
        (QWEN3_CODER, f"I look.\n<tool_call>\n{CODER}\n</tool_call>", 1),
        (QWEN3_CODER, f"I look.\n{CODER}\n</tool_call>", 1),  # as its models do at times
        (SEED_OSS, f"I look.\n<seed:tool_call>\n{SEED}\n</seed:tool_call>".replace("'", '"'), 1),
        (GLM, "I look.\n<tool_call>trip\n" + PAIRS.format("\n") + "</tool_call>", 1),
        (DSML, f"I look.\n\n<｜DSML｜function_calls>\n{INVOKED * 2}</｜DSML｜function_calls>", 2),
        (GLM, "I look.\n" + ("<tool_call>trip" + PAIRS.format("") + "</tool_call>") * 2, 2),
    ],
)
def test_what_models_write_is_what_the_grammar_wants(
    template: str, answer: str, n: int, open_with: Callable[[str], Tokenizer]
) -> None:
    done = Chat(open_with(template), tools=TOOLS).says(answer)
    assert (calls(done), done.text) == ([("trip", TRIP)] * n, "I look.")
    assert done.tool_error is None and done.finish_reason == "tool_calls"


@pytest.mark.parametrize("template", [QWEN3_CODER, GLM, DSML])
def test_free_texts_and_other_arguments_are_followed(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g")
    wide = {
        "type": "object", "additionalProperties": True, "required": list(names[:6]),
        "properties": {name: {"type": "string"} for name in names},
    }  # fmt: skip
    tool = {"type": "function", "function": {"name": "wide", "parameters": wide}}
    given = {name: f"<{name}>\n= {i}" for i, name in enumerate((*names, "more"))}
    if template == DSML:
        pairs = (f'<｜DSML｜parameter name="{k}" string="true">{v}</｜DSML｜parameter>\n'
                 for k, v in given.items())  # fmt: skip
        answer = (f'<｜DSML｜function_calls>\n<｜DSML｜invoke name="wide">\n{"".join(pairs)}'
                  "</｜DSML｜invoke>\n</｜DSML｜function_calls>")  # fmt: skip
    elif template == GLM:
        pairs = (f"<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value>\n" for k, v in given.items())
        answer = f"<tool_call>wide\n{''.join(pairs)}</tool_call>"
    else:
        pairs = (f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in given.items())
        answer = f"<tool_call>\n<function=wide>\n{''.join(pairs)}</function>\n</tool_call>"
    done = Chat(open_with(template), tools=[tool, TOOL]).says(answer)
    assert calls(done) == [("wide", given)] and done.tool_error is None


def test_values_that_templates_write_as_python_does(
    open_with: Callable[[str], Tokenizer],
) -> None:
    """A model that was shown True says it."""
    properties = {"is": {"type": "boolean"}, "may": {"type": ["integer", "null"]}}
    tool = {"type": "function", "function": {
        "name": "f", "parameters": {"type": "object", "properties": properties}}}  # fmt: skip
    for text, value in (("True", True), ("false", False)):
        answer = (
            f"<tool_call>\n<function=f>\n<parameter=is>\n{text}\n</parameter>\n"
            "<parameter=may>\nNone\n</parameter>\n</function>\n</tool_call>"
        )
        done = Chat(open_with(QWEN3_CODER), tools=[tool]).says(answer)
        assert calls(done) == [("f", {"is": value, "may": None})]


def test_a_conversation_shows_calls_as_they_were_written(
    open_with: Callable[[str], Tokenizer],
) -> None:
    """Arguments of any kind go back into the template as they came out of it."""
    done = Chat(open_with(GLM), tools=TOOLS).says(
        "<tool_call>trip" + PAIRS.format("") + "</tool_call>"
    )
    again = Chat(open_with(GLM), tools=TOOLS, messages=[*USER, done.message, *USER])
    assert "trip<arg_key>city</arg_key><arg_value>Rome</arg_value>" in again.asked
