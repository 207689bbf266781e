"""Chat templates: equal to plain Jinja's where they are meant well, and bounded where not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from halfbyte.errors import RequestError, TemplateError
from halfbyte.prompt import template
from halfbyte.prompt.template import ChatTemplate

NOON = datetime(2024, 7, 26, 12, 0)


class Generation(Extension):
    """{% generation %} as a call block, which is what it is for transformers."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("shown"), [], [], body, lineno=line)

    def shown(self, caller: Any) -> str:
        return str(caller())


class Refused(Exception):
    """What raise_exception raises below."""


def plain(source: str, **context: object) -> str:
    """The oracle: unbounded Jinja, set up as transformers sets it up."""

    def refuse(message: str) -> None:
        raise Refused(message)

    def tojson(
        value: object, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
        sort_keys: bool = False,
    ) -> str:  # fmt: skip
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys,
        )  # fmt: skip

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": refuse, "strftime_now": NOON.strftime}
    return environment.from_string(source).render(**context)


@pytest.fixture(autouse=True, scope="module")
def _noon() -> Any:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOON

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "datetime", Clock)
        yield


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

CHATML = """
{%- for m in messages %}
    {{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
LLAMA_3 = """
{{- bos_token }}
{%- if date is not defined %}
    {%- if strftime_now is defined %}
        {%- set date = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date = "never" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}{% set tools = none %}{% endif %}
{%- if messages[0].role == 'system' %}
    {%- set told = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set told = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday: " + date + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- told + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length > 2 %}
            {{- raise_exception("too many calls") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- call.name + "(" }}
        {%- for key, value in call.arguments | items %}
            {{- key + '="' + value + '"' }}{% if not loop.last %}, {% endif %}
        {%- endfor %}
        {{- ")" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = """
{%- if messages[0]["role"] == "system" %}
    {%- set told = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for m in turns if m.role in ["user", "assistant"] and not m.tool_calls %}
    {%- if (m.role == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("Roles take turns, but " ~ loop.index ~ " is " ~ m.role) }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for m in turns %}
    {%- if m.role == "user" %}
        {%- if tools is not none and (m == turns[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for t in tools %}
                {%- set t = t.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in t.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/TOOLS]" }}
        {%- endif %}
        {%- if loop.last and told is defined %}
            {{- "[INST] " + told + "\\n\\n" + m["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + m.content + "[/INST]" }}
        {%- endif %}
    {%- elif m.tool_calls is defined and m.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in m.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] }}{{- ', "id": "' ~ loop.index0 ~ '"}' }}
            {{- ", " if not loop.last else "]" + eos_token }}
        {%- endfor %}
    {%- elif m.role == "assistant" %}
        {{- " " + m.content|trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
QWEN = """
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You help.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and m.role == "user" and not(m.content.startswith('<tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if loop.index0 > ns.last and thought %}{{- thought.strip() }}{%- endif %}
        {%- generation %}
        {{- content }}
        {%- endgeneration %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think></think>' }}
    {%- endif %}
{%- endif %}
"""
DEEPSEEK = """
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=false, is_tool=false, first=true, told='') %}
{%- for message in messages %}{%- if message['role'] == 'system' %}
{%- if ns.first %}{% set ns.told = ns.told + message['content'] %}{% set ns.first = false %}
{%- else %}{% set ns.told = ns.told + '\\n\\n' + message['content'] %}{%- endif %}
{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.told }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}
{{ '<|User|>' + message['content'] }}{%- endif %}
{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{%- set ns.is_tool = false -%}
{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}
{%- if not message['content'] %}{{ '<|Assistant|>' }}{% else %}{{ message['content'] }}{% endif %}
{{ tool['type'] + '|' + tool['function']['name'] + '\\n' + tool['function']['arguments']|tojson }}
{%- set ns.is_first = true -%}
{%- else %}{{ '\\n' + tool['type'] }}{%- endif %}{%- endfor %}{%- endif %}
{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}
{%- set content = message['content'] %}
{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
{{ '<|Assistant|>' + content + eos_token }}{%- endif %}
{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}
{{ '<|tool|>' + message['content'] }}{%- endif %}
{%- endfor -%}
{% if add_generation_prompt and not ns.is_tool %}{{ '<|Assistant|><think>\\n' }}{% endif %}
"""
MACROS = """
{%- macro kind(spec, deep=0) -%}
    {%- if spec.type == 'object' -%}
        {
        {%- for name, part in spec.properties | dictsort -%}
            {{ '  ' * deep }}{{ name }}: {{ kind(part, deep + 1) }}
            {%- if not loop.last %}, {% endif -%}
        {%- endfor -%}
        }
    {%- else -%}
        {{ spec.type or 'any' }}
    {%- endif -%}
{%- endmacro -%}
{%- macro boxed(name) -%}[{{ name }}: {{ caller() }}]{%- endmacro -%}
{% for tool in tools or [] -%}
    {% call boxed(tool.function.name | upper) %}{{ kind(tool.function.parameters) }}{% endcall %}
{%- endfor %}
{% set head %}{% for m in messages %}{{ m.role[0] }}{% endfor %}{% endset %}
{% filter replace('a', 'A') | upper %}{{ head }}{% endfilter %}
{% with n = messages | length %}{{ n }}{% endwith %}
{% for role, n in [('user', 1), ('system', 2)] %}
    {% if n == 2 %}{% continue %}{% endif %}
    {{ messages | selectattr('role', 'equalto', role) | map(attribute='content') | join(', ') }}
    {% break %}
{% else %}none{% endfor %}
{{ messages | map(attribute='role') | unique | list }}{{ loop is defined }}
"""
TEMPLATES = {
    "chatml": CHATML, "llama-3": LLAMA_3, "mistral": MISTRAL, "qwen": QWEN, "deepseek": DEEPSEEK,
    "macros": MACROS,
}  # fmt: skip


@pytest.mark.parametrize("tools", [None, [TOOL], [TOOL, TOOL]], ids=["none", "one", "two"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_real_templates_render_as_plain_jinja_renders_them(
    name: str, conversation: str, tools: Any
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


@pytest.mark.parametrize(
    ("kind", "name"),
    [("chat_inst", "codellama_instruct_7b_13b_34b"), ("chat_70b", "codellama_instruct_70b")],
)
def test_code_llamas_templates(shared_dir: Path, kind: str, name: str) -> None:
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


CONTEXT: dict[str, Any] = {
    "s": "Ab <c>\n\nd'é\tAb", "e": "", "n": 7, "f": 2.5, "t": True, "z": None,
    "xs": [3, 1, 2, 1], "ws": ["b", "A", "a", ""], "d": {"b": 2, "a": "x", "items": [1]},
    "rows": [{"k": "u", "v": {"w": [1, 2]}}, {"k": "v", "v": {"w": []}}, {"k": "u"}],
    "tup": (1, "a", None),
}  # fmt: skip
EXPRESSIONS = [
    "s.strip('b A')", "s.lstrip() ~ s.rstrip()", "s.split()", "s.split('b', 1)", "s.rsplit('b', 1)",
    "s.splitlines()", "s.splitlines(true)", "s.replace('b', 'xyz')", "s.replace('', '-')",
    "s.replace('b', '', 1)", "s.startswith(('x', 'A'))", "s.find('b') + s.rfind('b')",
    "s.count('b') ~ s.index('b')", "s.partition('c')", "s.removeprefix('A').removesuffix('b')",
    "'-'.join(ws)", "'{} {:>5}|{a:<4}|{a!s}'.format(n, 'x', a='é')",
    "'{1}{0:03d}{{}}'.format(n, s)", "'%s|%5.1f|%%|%03d|%r' % (s, f, n, ws)",
    "'%(a)s %(b)d' % {'a': s, 'b': n}", "'%s' % n", "'%s-%s' | format(n, s)", "'%s' % tup[1]",
    "s.upper() + s.title() + s.casefold()", "s | upper | lower | capitalize", "s | title",
    "s | trim('A')", "s | length", "s | list", "s | reverse", "s[1:] ~ s[:-2] ~ s[::-1] ~ s[2]",
    "s | indent", "s | indent(2, true, true)", "s | indent('> ')", "s | replace('b', 'c', 1)",
    "n | string + s", "s | first ~ s | last", "xs | first ~ xs | last", "[] | first", "[] | last",
    "xs | sort", "xs | sort(reverse=true)", "ws | sort", "ws | sort(case_sensitive=true)",
    "ws | unique | list", "ws | select | list", "rows | map(attribute='k') | list",
    "rows | map(attribute='v.w', default='-') | list", "rows | selectattr('v') | list | length",
    "rows | selectattr('k', 'eq', 'u') | list", "rows | rejectattr('k', 'in', ['u']) | list",
    "xs | select('odd') | list", "xs | reject('gt', 1) | list", "ws | map('upper') | join('/')",
    "ws | map('replace', 'a', 'b') | list", "rows | join('|', attribute='k')", "xs | join",
    "xs | sum", "rows | sum(attribute='n', start=1) if z else 0", "[[1], [2]] | sum(start=[])",
    "xs | min ~ xs | max", "ws | max", "rows | map(attribute='k') | min", "xs | batch(3, 0) | list",
    "d | dictsort", "d | dictsort(true, 'key', true)", "d | items | list", "d | list", "d | length",
    "d.items() | list", "d.keys() | list", "d.values() | list",
    "d.get('a') ~ d.get('q') ~ d.get('q', 1)", "d.a ~ d['b'] ~ d.q", "d['items']", "d.q is defined",
    "d.q | default('w')", "e | d('w', true)", "d | tojson", "d | tojson(indent=2)",
    "rows | tojson(sort_keys=true, separators=(',', ':'))", "s | tojson",
    "s | tojson(ensure_ascii=true)", "z | tojson ~ t | tojson ~ f | tojson",
    "'3' | int + '2.7' | int + 'x' | int(5)", "'0x1f' | int(base=16)",
    "'1.5' | float + 'y' | float", "2.567 | round(1)", "2.5 | round ~ 2.1 | round(0, 'ceil')",
    "-3 | abs", "[n, -n] | map('abs') | list", "n // 2 ~ n % 4 ~ n / 2 ~ n ** 2 ~ -n",
    "n * 'ab' ~ [0] * 3", "2 ** -1 ~ 2 ** 10", "t + t", "xs + [9]", "tup + (1,)",
    "xs[1:3] ~ tup[::2] ~ range(9)[2:4]", "range(3) | list ~ range(2, 9, 3) | list", "1 < n < 9",
    "1 < n > 9", "n == 7 and s", "not e or z", "'b' in s ~ 'q' not in s", "(1 in xs) ~ ('a' in d)",
    "xs == [3, 1, 2, 1] ~ (tup != xs)", "xs < [4]", "tup.index('a') ~ xs.count(1)", "xs.index(2)",
    "s if n > 3 else e", "s if n > 9", "n is odd ~ n is even ~ n is divisibleby 7",
    "s is string ~ d is mapping", "xs is sequence ~ xs is iterable ~ n is iterable",
    "n is number ~ f is float ~ n is integer ~ t is true",
    "z is none ~ t is boolean ~ s is lower ~ 'A' is upper", "n is eq 7 ~ n is gt 3 ~ n is in xs",
    "s is sameas s", "'upper' is filter ~ 'odd' is test ~ 'nope' is filter", "s.strip is callable",
    "u is undefined ~ u", "u | default(xs) | list", "[u, 1, none, true]",
    "{'a': [1, 'x\\n'], 2: none, 'u': u}", "d", "rows", "tup", "dict(a=1, b=s)",
    "dict([('a', 1)]).a", "namespace(a=s).a", "range(4)", "d.items()", "f", "1e20", "t ~ z",
    "messages", "s | map('upper') | list", "d | map('upper') | list",
    "(xs | map('string')) is iterable", "'empty' if not (xs | select('none')) else 'always true'",
    "strftime_now('%Y-%m-%d %H:%M')", "s | count",
    "s.isalpha() ~ '12'.isdigit() ~ 'a1'.isalnum() ~ ' '.isspace()", "'a' 'b' ~ '\\u00e9'",
    "loop is defined", "d is mapping and d.a is string and d.items is callable",
    "s | string | e == s",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression: str) -> None:
    source = "{{ " + expression + " }}"
    expected = plain(source, messages=[user("a")], **CONTEXT)
    assert ChatTemplate(source).render([user("a")], **CONTEXT) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in xs %}{{ loop.index }}{{ loop.revindex }}{{ loop.length }}{{ x }}{% endfor %}",
        "{% for x in xs %}{{ loop.previtem }},{{ loop.nextitem }}{{ loop.changed(x) }}{% endfor %}",
        "{% for x in xs | map('string') %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %}",
        ("{% for x in xs %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}"
        "{{ loop['first'] }}{% endfor %}"),
        "{% for x in xs if x > 1 %}{{ x }}{{ loop.index }}{% else %}none{% endfor %}",
        "{% for x in [] %}{{ x }}{% else %}none{% endfor %}{{ x }}",
        ("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}"
        "{% for c in s %}{{ c }}.{% endfor %}"),
        "{% for k in d %}{{ k }}{% endfor %}{% for x in u %}{{ x }}{% endfor %}",
        "{% set a, b = xs[:2] %}{{ a }}{{ b }}{% set a = 5 %}{{ a }}",
        "{% set n = namespace(a=1) %}{% for x in xs %}{% set n.a = n.a + x %}{% endfor %}{{ n.a }}",
        "{% set it = xs | map('string') %}{{ it | first }}{{ it | join }}",
        ("{% set it = xs | map('string') %}{% for x in it %}{{ x }}{% break %}{% endfor %}"
        "{{ it | list }}"),
        ("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
        "{{ m(1) }}{{ m(1, 3, 4, c=5) }}"),
        "{% macro m() %}{{ caller('x') }}{% endmacro %}{% call(a) m() %}<{{ a }}>{% endcall %}",
        "{% macro m(n) %}{% if n %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(20) }}",
        "{% set x %}a{{ s }}{% endset %}{{ x | length }}{% set x | upper %}b{% endset %}{{ x }}",
        ("{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a }}"
        "{% if a %}{% elif b %}{% else %}c{% endif %}"),
        "  {% if t %}\n  a\n  {% endif %}\n b {#- note -#} c {% raw %}{{ x }}{% endraw %}\n",
        "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}",
        "{% for x in xs %}{% generation %}{{ loop.index }}{{ x }}{% endgeneration %}{% endfor %}",
        ("{% for x in xs %}{% for y in xs %}{% if y == x %}{% continue %}{% endif %}"
        "{{ y }}{% endfor %}{% endfor %}"),
        "{% if false %}{{ s | center(9) }}{% endif %}ok",
        "{% set it = xs | map('string') %}{{ it == 1 }}{{ [it] != it }}{{ it | list }}",
        "{{ 'y' if [] | unique else 'n' }}{{ 'y' if [] | reverse else 'n' }}",
        "{{ '<a> & b' | safe }}{{ '<a> & b' | e }}{{ [1] | string | safe }}",
        "{% print n %}{{ n }}\n",
        "{{ messages[0].content }}{{ add_generation_prompt }}", "", "a\r\nb\n\n",
    ],
)  # fmt: skip
def test_statements(source: str) -> None:
    given = {"add_generation_prompt": True, "messages": [user("a")]}
    expected = plain(source, **given, **CONTEXT)
    assert ChatTemplate(source).render([user("a")], **CONTEXT) == expected


def grow(step: str, start: str = "'ab'", end: str = "") -> str:
    """A template that doubles ns.x a hundred times."""
    return (
        f"{{% set ns = namespace(x={start}) %}}{{% for i in range(100) %}}{step}{{% endfor %}}{end}"
    )


def repeat(body: str, before: str = "") -> str:
    return f"{before}{{% for i in range(2000000) %}}{body}{{% endfor %}}"


WORK = "bounded amount of work"
SHARED = "{% set ns.x = [ns.x, ns.x] %}"
SHARED_TUPLE = "{% set ns.x = (ns.x, ns.x) %}"
UNTAKEN = "{% if 0 %}" + "".join(f"{{{{ a{i} }}}}" for i in range(1000)) + "{% endif %}"
HOSTILE = {
    # Loops.
    "long loop": (repeat("x"), WORK),
    "empty loops": ("{% for a in range(9999) %}" * 9 + "{% endfor %}" * 9, WORK),
    "filtered loop": ("{% for i in range(2000000) if i < 0 or i is none %}{% endfor %}", WORK),
    "range": ("{{ range(10 ** 12) | list }}", WORK),
    "range sum": (repeat("{{ range(100000) | sum }}"), WORK),
    "huge range": ("{{ range(2 ** 99999) }}", "4096 bits"),
    "text loop": (repeat("{{ messages }}"), WORK),
    "data loop": (repeat("abcdefgh" * 1000), WORK),
    "untaken branches": (
        "{% for i in range(500) %}" + UNTAKEN + "{% endfor %}",
        WORK,
    ),
    "untaken in a macro": (
        "{% macro m() %}" + UNTAKEN + "{% endmacro %}"
        "{% for i in range(500) %}{{ m() }}{% endfor %}",
        WORK,
    ),
    "in range": ("{{ 'a' in range(10 ** 12) }}", WORK),
    "refund": ("{% set x = 'a' * -(10 ** 8) %}{% set x = 'a' * 10 ** 8 %}", WORK),
    "loop length": (
        repeat("{% for j in 'ab' | map('string') %}{{ loop.length }}{% endfor %}"),
        WORK,
    ),
    "recursive loop": ("{% for i in [[]] recursive %}{{ loop([i]) }}{% endfor %}", "recursive for"),
    "loop of loop": (
        "{% for i in [1] %}{% for j in loop %}{% endfor %}{% endfor %}",
        "not iterable",
    ),
    # Growth.
    "plus": (grow("{% set ns.x = ns.x + ns.x %}"), WORK),
    "tilde": (grow("{% set ns.x = ns.x ~ ns.x %}"), WORK),
    "set block": (grow("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"), WORK),
    "filter block": (
        grow("{% set ns.x %}{% filter upper %}{{ ns.x }}{{ ns.x }}{% endfilter %}{% endset %}"),
        WORK,
    ),
    "macro text": (
        "{% macro m(a) %}{{ a }}{{ a }}{% endmacro %}" + grow("{% set ns.x = m(ns.x) %}"),
        WORK,
    ),
    "caller": (
        "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
        + grow("{% set ns.x %}{% call m() %}{{ ns.x }}{% endcall %}{% endset %}"),
        WORK,
    ),
    "join": (grow("{% set ns.x = [ns.x, ns.x] | join %}"), WORK),
    "join method": (grow("{% set ns.x = ns.x.join('abc') %}"), WORK),
    "join separator": ("{{ ('a' * 100000).join('b' * 100000) }}", WORK),
    "replace": (grow("{% set ns.x = ns.x.replace('a', ns.x) %}"), WORK),
    "replace filter": ("{{ ('a' * 1000000) | replace('', 'b' * 1000000) }}", WORK),
    "format": (grow("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"), WORK),
    "format same": (grow("{% set ns.x = '{0}{0}'.format(ns.x) %}"), WORK),
    "format filter": (grow("{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"), WORK),
    "printf": (grow("{% set ns.x = '%s%s' % (ns.x, ns.x) %}"), WORK),
    "printf name": (grow("{% set ns.x = '%(a)s%(a)s' % {'a': ns.x} %}"), WORK),
    "list": (grow("{% set ns.x = ns.x + ns.x %}", "[1]"), WORK),
    "tuple": (grow("{% set ns.x = ns.x + ns.x %}", "(1,)"), WORK),
    "list sum": (grow("{% set ns.x = [ns.x, ns.x] | sum(start=[]) %}", "[1]"), WORK),
    "times": ("{{ 'a' * 10 ** 10 }}", WORK),
    "times left": ("{{ 10 ** 10 * 'a' }}", WORK),
    "times list": ("{{ [0] * 10 ** 10 }}", WORK),
    "power": ("{{ 9 ** (9 ** 9) }}", "4096 bits"),
    "powers": (grow("{% set ns.x = ns.x * ns.x %}", "7"), "4096 bits"),
    "negative indent": ("{{ ('a\n' * 100000) | indent(10 ** 6) }}", WORK),
    "indent text": ("{{ ('a\n' * 10000) | indent('b' * 10000) }}", WORK),
    "tojson indent": ("{{ [1] | tojson(indent=10 ** 9) }}", "16 characters"),
    "tojson separators": ("{{ [1] | tojson(separators=('a' * 99, '')) }}", "16 characters"),
    "tojson": (grow("{% set ns.x = ns.x | tojson %}", "'\\\"'"), WORK),
    "escape": (grow("{% set ns.x = ns.x | escape %}", "'&' * 9999"), WORK),
    "repr": (grow("{% set ns.x = [ns.x] | string %}", "'\\\\\\\\'"), WORK),
    "batch": ("{{ [1] | batch(10 ** 9, 1) | list }}", WORK),
    "slice copies": (
        repeat(
            "{% set ns.y = [ns.y, s[:]] %}",
            "{% set ns = namespace(y=0) %}{% set s = [0] * 100000 %}",
        ),
        WORK,
    ),
    "list of text": ("{{ ('ab' * 10 ** 7) | list }}", WORK),
    "split": ("{{ ('a ' * 10 ** 6).split() }}", WORK),
    "split at": ("{{ ('ab' * 10 ** 6).split('b') }}", WORK),
    "splitlines": ("{{ ('\n' * 10 ** 6).splitlines() }}", WORK),
    "case": (grow("{% set ns.x = ns.x.upper() + ns.x.lower() %}"), WORK),
    "title": ("{{ ('a ' * 10 ** 6) | title }}", WORK),
    "nested data": (
        repeat("{% set ns.x = [ns.x, [], {}, {'a': 1}] %}", "{% set ns = namespace(x=0) %}"),
        WORK,
    ),
    "namespaces": (
        repeat("{% set ns.x = namespace(x=ns.x) %}", "{% set ns = namespace(x=0) %}"),
        WORK,
    ),
    "iterators": (
        repeat("{% set ns.x = ns.x | map('string') %}", "{% set ns = namespace(x=[1]) %}"),
        WORK,
    ),
    "methods": (repeat("{% set ns.x = [ns.x, ''.strip] %}", "{% set ns = namespace(x=0) %}"), WORK),
    # Widths.
    "printf width": ("{{ '%999999999d' % 1 }}", "three digits"),
    "printf star": ("{{ '%*d' % (999999999, 1) }}", "three digits"),
    "printf precision": ("{{ '%.999999999f' | format(1.5) }}", "three digits"),
    "printf length": ("{{ '%ld%9999999d' % 1 }}", "three digits"),
    "odd": ("{{ '%999999999d' is odd }}", "takes a number"),
    "select odd": ("{{ ['%999999999d'] | select('odd') | list }}", "takes a number"),
    "divisibleby": ("{{ '%999999999d' is divisibleby(3) }}", "takes a number"),
    "format width": ("{{ '{:>999999999}'.format(1) }}", "not plain"),
    "format precision": ("{{ '{:.999999999f}'.format(1.5) }}", "not plain"),
    "format nested width": ("{{ '{:>{w}}'.format(1, w=10 ** 9) }}", "not plain"),
    "round": ("{{ 5 | round(-1000000000) }}", "precision"),
    "round ceil": ("{{ 5 | round(1000000000, 'ceil') }}", "precision"),
    "number": ("{{ ('9' * 100000) | int }}", "a number of 100000"),
    "strftime": ("{{ strftime_now('%999999999d') }}", "plain characters"),
    "strftime long": ("{{ strftime_now('%c' * 1000) }}", "plain characters"),
    "center": ("{{ 'a' | center(10 ** 9) }}", "center"),
    "ljust": ("{{ 'a'.ljust(10 ** 9) }}", "unsafe"),
    "expandtabs": ("{{ '\t'.expandtabs(10 ** 9) }}", "unsafe"),
    "zfill": ("{{ 'a'.zfill(10 ** 9) }}", "unsafe"),
    "encode": ("{{ 'a'.encode() }}", "unsafe"),
    "translate": ("{{ 'a'.translate({97: 'b' * 99}) }}", "unsafe"),
    "lipsum": ("{{ lipsum(n=10 ** 6) }}", "lipsum"),
    "cycler": ("{{ cycler('a').next() }}", "cycler"),
    "joiner": ("{{ joiner(', ')() }}", "joiner"),
    "wordwrap": ("{{ 'a' | wordwrap(1) }}", "wordwrap"),
    "attr": ("{{ 'a' | attr('upper') }}", "attr"),
    # Shared data that is a tree of 2 ** 100 leaves to whoever walks it.
    "shared text": (grow(SHARED, end="{{ ns.x }}"), f"{WORK}|levels"),
    "shared tojson": (grow(SHARED, end="{{ ns.x | tojson }}"), f"{WORK}|levels"),
    "shared indent": (grow(SHARED, end="{{ ns.x | tojson(indent=-(10 ** 9)) }}"), f"{WORK}|levels"),
    "shared equal": (grow(SHARED, end="{{ ns.x == ns.x }}"), f"{WORK}|levels"),
    "shared in": (grow(SHARED, end="{{ ns.x in [1] }}"), f"{WORK}|levels"),
    "shared test": (grow(SHARED, end="{{ 1 is in ns.x }}"), f"{WORK}|levels"),
    "shared sort": (grow(SHARED, end="{{ [ns.x, ns.x] | sort }}"), f"{WORK}|levels"),
    "shared index": (grow(SHARED, end="{{ [1].index(ns.x) }}"), f"{WORK}|levels"),
    "shared changed": (
        grow(SHARED, end="{% for i in [1] %}{{ loop.changed(ns.x) }}{% endfor %}"),
        f"{WORK}|levels",
    ),
    "shared printf": (grow(SHARED, end="{{ '%s' % [ns.x] }}"), f"{WORK}|levels"),
    "shared format": (grow(SHARED, end="{{ '{}'.format(ns.x) }}"), f"{WORK}|levels"),
    "shared join": (grow(SHARED, end="{{ [ns.x] | join }}"), f"{WORK}|levels"),
    "shared unique": (grow(SHARED_TUPLE, end="{{ [ns.x] | unique | list }}"), f"{WORK}|levels"),
    "shared key": (grow(SHARED_TUPLE, end="{{ {ns.x: 1} }}"), "cannot be a key"),
    "shared get": (grow(SHARED_TUPLE, end="{{ {}.get(ns.x) }}"), "cannot be a key"),
    "shared item": (grow(SHARED_TUPLE, end="{{ {}[ns.x].a }}"), r"\(tuple\)"),
    "shared dict": (grow(SHARED_TUPLE, end="{{ dict([(ns.x, 1)]) }}"), "cannot be a key"),
    "deep": (grow("{% set ns.x = [ns.x] %}", end="{{ ns.x }}"), "64 levels"),
    "deep tojson": (grow("{% set ns.x = {'a': ns.x} %}", end="{{ ns.x | tojson }}"), "64 levels"),
    # Slow operations on large texts.
    "search": (
        repeat("{{ t in s }}", "{% set s = 'a' * 10 ** 7 %}{% set t = 'a' * 50 ~ 'b' %}"),
        WORK,
    ),
    "strip": (
        repeat("{{ s.strip(t) }}", "{% set s = 'é' * 10 ** 5 %}{% set t = 'ab' * 900 ~ 'é' %}"),
        WORK,
    ),
    "equal": (
        repeat("{{ s == t }}", "{% set s = 'a' * 10 ** 6 %}{% set t = 'a' * 10 ** 6 %}"),
        WORK,
    ),
    "less": (repeat("{{ s < t }}", "{% set s = 'a' * 10 ** 6 %}{% set t = 'a' * 10 ** 6 %}"), WORK),
    "in list": (repeat("{{ 'a' in s }}", "{% set s = range(10 ** 5) | list %}"), WORK),
    "reverse": (repeat("{{ s[::-1][0] }}", "{% set s = 'a' * 10 ** 6 %}"), WORK),
    "count": (repeat("{{ s.count('b') }}", "{% set s = 'a' * 10 ** 6 %}"), WORK),
    "path": (
        repeat(
            "{{ [1, 1, 1] | map(attribute=s, default=1) | list }}", "{% set s = 'a.' * 10 ** 5 %}"
        ),
        WORK,
    ),
    # Recursion.
    "macro": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "macros call each other"),
    "macros": (
        (
            "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
            "{{ m(50) }}"
        ),
        WORK,
    ),
    "empty macro": ("{% macro m() %}{% endmacro %}" + repeat("{{ m() }}"), WORK),
    "call block": (
        "{% macro m() %}{{ caller() }}{% endmacro %}" + repeat("{% call m() %}x{% endcall %}"),
        WORK,
    ),
    # Source.
    "brackets": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "40 levels"),
    "lists": ("{{ " + "[" * 50 + "]" * 50 + " }}", "40 levels"),
    "ifs": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, "40 levels"),
    "signed ifs": ("{%- if 1 -%}" * 50 + "{%- endif -%}" * 50, "40 levels"),
    "set blocks": ("{% set a %}" * 50 + "{% endset %}" * 50, "40 levels"),
    "filtered set blocks": (
        "{% set a | trim(chars='b') %}" * 50 + "{% endset %}" * 50,
        "40 levels",
    ),
    "fors": ("{% for i in [] %}" * 30 + "{% endfor %}" * 30, "nested"),
    "nots": ("{{ " + "not " * 50_000 + "1 }}", "2000 tokens"),
    "minus": ("{{ " + "- " * 1900 + "1 }}", "levels|recursion"),
    "plusses": ("{{ 1" + " + 1" * 500 + " }}", "levels"),
    "dots": ("{{ a" + ".a" * 500 + " }}", "levels"),
    "pipes": ("{{ a" + " | trim" * 500 + " }}", "levels"),
    "elses": ("{{ " + "1 if 0 else " * 300 + "1 }}", "levels"),
    "elifs": ("{% if 0 %}" + "{% elif 0 %}" * 3000 + "{% endif %}", "branches"),
    "tags": ("{{ a }}" * 30_000, "25000 tokens"),
    "size": ("a" * 300_000, "262144 at most"),
    "digits": ("{{ " + "9" * 10_000 + " }}", "200 characters"),
    "identifier": ("{{ " + "a" * 10_000 + " }}", "200 characters"),
    # Out of reach.
    "class": ("{{ ''.__class__ }}", "__class__"),
    "mro": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "__class__"),
    "class item": ("{{ ''['__class__'] }}", "__class__"),
    "class path": ("{{ [''] | map(attribute='__class__') | list }}", "__class__"),
    "format attribute": ("{{ '{0.__class__}'.format('') }}", "names or numbers"),
    "format item": ("{{ '{0[a]}'.format({'a': 1}) }}", "names or numbers"),
    "format_map": ("{{ '{a.__class__}'.format_map({'a': 1}) }}", "unsafe"),
    "macro internals": ("{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}", "_func"),
    "macro globals": ("{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}", "__init__"),
    "method": ("{{ ''.strip.func.__globals__ }}", "func"),
    "function": ("{{ range.func.__self__.globals }}", "func"),
    "loop internals": ("{% for i in [1] %}{{ loop._iterable.gi_frame }}{% endfor %}", "_iterable"),
    "self": ("{{ self._TemplateReference__context.environment }}", "_TemplateReference"),
    "own filter": ("{{ [-10 ** 9] | map(' charge') | list }}", "no such filter"),
    "own filter listed": ("{{ [1] | map(*[' charge']) | list }}", r"\*args"),
    "mutation": ("{{ messages.append(1) }}", "unsafe"),
    "dict mutation": ("{{ messages[0].update(a=1) }}", "unsafe"),
    "include": ("{% include 'a' %}", "include"),
    "import": ("{% import 'a' as b %}", "import"),
    "from": ("{% from 'a' import b %}", "import"),
    "extends": ("{% extends 'a' %}", "extends"),
    "block": ("{% block a %}{{ self.a() }}{% endblock %}", "block"),
    "autoescape": ("{% autoescape true %}{{ '&' }}{% endautoescape %}", "autoescape"),
    # Plain bugs.
    "syntax": ("a\n{% for %}", "line 2"),
    "unknown tag": ("{% nope %}", "nope"),
    "break outside": ("{% break %}", "break"),
    "undefined": ("\n\n{{ nope.a }}", r"'nope' is undefined \(line 3\)"),
    "undefined call": ("{{ nope() }}", "'nope' is undefined"),
    "type": ("{{ 1 + 'a' }}", "takes no int and str"),
    "zero": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "no call": ("{{ messages() }}", "cannot be called"),
    "no text": ("{{ range }}", "has no text"),
    "iterator text": ("{{ messages | map('string') }}", "filter list"),
    "undefined json": ("{{ nope | tojson }}", "not JSON serializable"),
    "arguments": ("{% macro m() %}{% endmacro %}{{ m(1) }}", "argument"),
}


@pytest.mark.parametrize(("source", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_templates_are_refused(
    source: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "WORK", 500_000)  # to be quicker
    with pytest.raises(TemplateError, match=reason) as caught:
        ChatTemplate(source, path="m.gguf").render([user("a")])
    assert caught.value.path == "m.gguf"
    assert caught.value.field == "tokenizer.chat_template"
    assert len(str(caught.value)) < 2000
    # Nothing keeps the rendering's data alive.
    assert caught.value.__context__ is None


LARGE = "{% set s = 'a' * 10 ** 7 %}"  # three fifths of the budget below
LONG = "{% set s = [0] * 12 * 10 ** 5 %}"  # as much
LINES = "{% set s = 'a\\n' * 150000 %}"
PATH = "{% set s = 'a.' * 100000 %}"


@pytest.mark.parametrize(
    ("before", "operation"),
    [
        *((LARGE, f"s{method}") for method in (
            ".count('b')", ".find('b')", ".strip()", ".startswith('b')", ".isalpha()", ".upper()",
            ".split('b')", ".rsplit('b')", ".split()", ".splitlines()", ".replace('b', 'c')",
            ".partition('b')", "[:]", "[::-1]", " + 'b'", " ~ ''", " == s", " < s", " is lower",
            " in ['b']", " | trim", " | upper", " | replace('b', 'c')", " | indent", " | e",
            " | title", " | list", " | reverse", " | tojson", " | map('upper')", " is eq s",
            ".format()", ".join(['', ''])",
        )),
        (LARGE, "'b' in s"), (LARGE, "'b' not in s"), (LARGE, "'%s' % s"),
        (LARGE, "'{}'.format(s)"),
        (LARGE, "[s] | join"), (LARGE, "''.join([s])"), (LARGE, "[s] | string"),
        (LARGE, "[s] == [1]"),
        (LARGE, "'b' is in s"), (LARGE, "[s] | sort"), (LARGE, "{'a': s} | dictsort"),
        (LARGE, "'%s' | format(s)"),
        *((LONG, f"s{method}") for method in (
            "[:]", " + [1]", " | list", " | sort", " | first ~ s | sum", " | join", " | unique",
            " | map('string')", " | select", " | reverse", " | batch(2)", " | string", " | tojson",
            ".index(1)", ".count(1)", " == s", " | min",
        )),
        (LONG, "1 in s"), (LONG, "'%s' % [s]"),
        (LINES, "s.splitlines()"), (LINES, "s | indent(200)"), (LINES, "s.replace('a', 'b' * 999)"),
        (LINES, "s.split() | list"), (LINES, "(s | list)[:]"), (LINES, "s | title"),
        (PATH, "[1] | map(attribute=s, default=1)"), (PATH, "[1] | join(attribute=s)"),
        ("{% set s = 'a' * 2 * 10 ** 6 %}", "('b' * 99) in s"),
        ("{% set s = 'a' * 2 * 10 ** 6 %}", "s.count('b' * 99)"),
        ("{% set s = '%d' * 10 ** 4 %}", "s % {}"),
        ("", "[1] | batch(600000, 1)"),
    ],
)  # fmt: skip
def test_each_operation_pays_for_its_size(
    before: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "WORK", 500_000)
    assert ChatTemplate(before).render([]) == ""
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(f"{before}{{% set x = {operation} %}}").render([])


def test_what_stands_outside_loops_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "WORK", 1000)
    assert ChatTemplate("{% set a = b %}" * 50).render([]) == ""
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate("{% set a = b %}" * 500).render([])


@pytest.mark.parametrize("name", ["empty loops", "set block", "times", "shared text", "macros"])
def test_the_usual_budget(name: str) -> None:
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(HOSTILE[name][0]).render([user("a")])


def test_nothing_is_computed_before_it_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ChatTemplate("{% if messages %}{{ 'ab' * 10 ** 4 | int }}{% endif %}")
    assert len(compiled.render([user("a")])) == 20_000
    calls: list[int] = []
    monkeypatch.setattr(template._Sandbox, "spend", lambda self, units: calls.append(units))
    ChatTemplate("{{ 'a' | replace('', 'b') }}{{ 'a' < 'b' }}{{ 2 ** 9 ~ 'a'.upper() }}{{ 1.5 }}")
    assert not calls


def test_each_rendering_has_its_own_budget() -> None:
    compiled = ChatTemplate("{% for i in range(messages[0].n) %}x{% endfor %}")
    for _ in range(5):
        assert len(compiled.render([{"n": 100_000}])) == 100_000
        with pytest.raises(TemplateError, match=WORK):
            compiled.render([{"n": 10_000_000}])


def test_the_budget_grows_with_the_conversation() -> None:
    compiled = ChatTemplate("{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}")
    messages = [user("aé" * 10_000) for _ in range(1000)]
    assert len(compiled.render(messages)) == 20_000_000
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate("{{ 'é' * 20000000 }}").render([user("a")])


@pytest.mark.parametrize("message", ["Roles must alternate", "", "é" * 5000])
def test_a_template_may_refuse_the_messages(message: str) -> None:
    compiled = ChatTemplate("{% for m in messages %}{{ raise_exception(m.content) }}{% endfor %}")
    with pytest.raises(RequestError, match="chat template accepts") as caught:
        compiled.render([user(message)])
    assert (caught.value.param, caught.value.got) == ("messages", message)
    with pytest.raises(Refused):
        plain("{{ raise_exception('a') }}")


def test_strict_alternation_is_refused() -> None:
    compiled = ChatTemplate(MISTRAL)
    with pytest.raises(RequestError, match="Roles take turns, but 2 is user"):
        compiled.render([user("a"), user("b")], bos_token="", eos_token="", tools=None)


@pytest.mark.parametrize("value", [object(), len, b"a", {1, 2}, {(1,): 2}, [[object()]]])
def test_variables_are_plain_data(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        ChatTemplate("").render([user("a")], extra=value)
    assert caught.value.param == "extra"


def test_cycles_are_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(RequestError, match="levels"):
        ChatTemplate("").render([{"role": "user", "content": cycle}])


def test_subclasses_become_plain_data() -> None:
    class Text(str):
        def __str__(self) -> str:
            raise AssertionError("code of a caller's class")

        upper = __len__ = strip = __str__  # type: ignore[assignment]

    class Message(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"content": Text("a"), "more": (Text("b"), True, 2.5)}[key]

        def __iter__(self) -> Any:
            return iter(["content", "more"])

        def __len__(self) -> int:
            return 2

    source = "{{ messages[0].content.upper() ~ messages[0].content | length }}{{ messages }}"
    expected = "A1[{'content': 'a', 'more': ('b', True, 2.5)}]"
    assert ChatTemplate(source).render([Message()]) == expected


def test_shared_data_is_copied_once() -> None:
    shared: list[object] = []
    for _ in range(60):
        shared = [shared, shared]
    assert ChatTemplate("{{ x | length }}").render([], x=shared) == "2"


def test_an_interruption_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setattr(template, "datetime", Clock)
    with pytest.raises(KeyboardInterrupt):
        ChatTemplate("{{ strftime_now('%Y') }}").render([])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["a", "b", "messages", "m", "m.role", "m['content']", "nope", "loop.index0"]
)
ATOMS = NAMES | st.sampled_from(
    [
        "'x'",
        "''",
        "' Ab '",
        "0",
        "3",
        "2.5",
        "true",
        "none",
        "[]",
        "[1, 'b']",
        "('a', 2)",
        "{'k': 1}",
    ]
)
FILTERS = [
    "trim", "upper", "lower", "title", "capitalize", "length", "list", "string", "first", "last",
    "int", "float", "abs", "round", "sum", "min", "max", "sort", "unique | list", "reverse | list",
    "tojson", "tojson(indent=2)", "join('-')", "default('w')", "d('v', true)", "items | list",
    "dictsort", "replace('a', 'bc')", "indent(1, true)", "map('string') | list",
    "map(attribute='role') | list", "select | list", "reject('string') | list",
    "selectattr('role') | list", "batch(2, 'f') | list",
]  # fmt: skip
METHODS = [
    "strip()", "split('a')", "upper()", "startswith('A')", "replace('a', 'bb')", "get('role')",
    "items() | list", "keys() | list", "index('a')", "count('a')", "splitlines()", "title()",
]  # fmt: skip
TESTS = [
    "defined", "none", "string", "mapping", "iterable", "sequence", "number", "odd", "even",
    "lower", "boolean", "eq 3", "in [1, 'b']", "divisibleby 3",
]  # fmt: skip


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
    return (
        st.builds("({} {} {})".format, inner, st.sampled_from(infix), inner)
        | st.builds("({} | {})".format, inner, st.sampled_from(FILTERS))
        | st.builds("({}).{}".format, inner, st.sampled_from(METHODS))
        | st.builds("({} is {})".format, inner, st.sampled_from(TESTS))
        | st.builds("({} is not {})".format, inner, st.sampled_from(TESTS))
        | st.builds("({} if {} else {})".format, inner, inner, inner)
        | st.builds(
            "({} or a)[{}]".format, NAMES, st.sampled_from(["0", "-1", "1:", ":-1", "::2", "'k'"])
        )
        | st.builds("[{}, {}]".format, inner, inner)
        | st.builds("(not {})".format, inner)
    )


EXPRESSION = st.recursive(ATOMS, _larger, max_leaves=5)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.builds("{{% for m in {} %}}{}{{% endfor %}}".format, EXPRESSION, inner)
        | st.builds(
            "{{% for m in {} if {} %}}{}{{% else %}}e{{% endfor %}}".format,
            NAMES,
            EXPRESSION,
            inner,
        )
        | st.builds(
            "{{%- if {} %}}\n {} {{% else -%}}{}{{% endif %}}\n".format, EXPRESSION, inner, inner
        )
        | st.builds("{{% set a = {} %}}{}".format, EXPRESSION, inner)
        | st.builds("{{% set b %}}{}{{% endset %}}{{{{ b }}}}".format, inner)
        | st.builds("{{% macro q(a) %}}{}{{% endmacro %}}{{{{ q({}) }}}}".format, inner, EXPRESSION)
        | st.builds(
            "{{% filter {} %}}{}{{% endfilter %}}".format, st.sampled_from(FILTERS[:5]), inner
        )
        | st.builds("{}{}".format, inner, inner)
    )


BODY = st.recursive(
    st.builds("{{{{ {} }}}}".format, EXPRESSION) | st.just("x\n"), _nested, max_leaves=4
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXTS, "content": PLAIN}), max_size=3)
# Text of objects, whose addresses differ in any case.
UNPRINTABLE = (
    "<generator",
    "<built-in",
    "<bound method",
    "<function",
    "<Macro",
    "<jinja2",
    " at 0x",
)


@settings(max_examples=400, deadline=None)
@given(source=BODY, messages=MESSAGES, a=PLAIN, b=PLAIN)
def test_random_templates_render_as_plain_jinja_renders_them(
    source: str, messages: list[dict[str, Any]], a: object, b: object
) -> None:
    given = {"a": a, "b": b, "bos_token": "<s>"}
    try:
        expected = plain(source, messages=messages, add_generation_prompt=True, **given)
    except Exception:
        with pytest.raises(TemplateError):
            ChatTemplate(source).render(messages, **given)
        return
    if any(text in expected for text in UNPRINTABLE):
        return
    assert ChatTemplate(source).render(messages, **given) == expected
