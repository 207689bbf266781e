"""Chats whose model says what it is told to: their templates, tools and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbyte.constraints.grammar import Grammars
from halfbyte.generation.chat_completion import ChatCompletion
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.text_request import TextRequest
from halfbyte.planning.chat_planning import ChatAsked
from halfbyte.prompt.chat import ChatPrompt, chat_prompt
from halfbyte.tokenizer import Tokenizer

FOLDER = Path(__file__).parents[1] / "prompt" / "template" / "templates"
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>",
            "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "</s>", "<|eot_id|>", "<|start_header_id|>",
            "<|end_header_id|>", "<|python_tag|>", "<arg_key>", "</arg_key>", "<arg_value>",
            "</arg_value>", "<|tool_call|>", "<|/tool_call|>", "<|assistant|>", "<seed:tool_call>",
            "</seed:tool_call>", "<|START_ACTION|>", "<|END_ACTION|>",
            "<|tool_call_start|>", "<|tool_call_end|>",
            "<|tools_prefix|>", "<|tools_suffix|>", "<|inner_prefix|>",
            "<|inner_suffix|>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
            "｜DSML｜", "<|tool_call>", "<tool_call|>", '<|"|>')  # fmt: skip
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>"
THINKS += "\n\n{% endif %}"
R1 = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"
HERMES = (FOLDER / "qwen.jinja").read_text("utf-8")
MISTRAL = (FOLDER / "mistral.jinja").read_text("utf-8")
LLAMA = CHATML + '{{ tools }}<|start_header_id|>{# "parameters" #}'
NAMED = CHATML + "{{ tools }}{# [TOOL_CALLS] [ARGS] #}"
QWEN3_CODER = CHATML + "{{ tools }}{# <tool_call> <function= tool_calls #}"
DSML = CHATML + "{{ tools }}{# ｜DSML｜ function_calls> tool_calls #}"
SEED_OSS = CHATML + "{{ tools }}{# <seed:tool_call> tool_calls #}"
GLM = (
    CHATML.replace(
        "<|im_end|>",
        "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function.name }}"
        "{% for k, v in call.function.arguments.items() %}<arg_key>{{ k }}</arg_key><arg_value>"
        "{{ v if v is string else v | tojson }}</arg_value>{% endfor %}</tool_call>{% endfor %}"
        "<|im_end|>",
    )
    + "{{ tools }}"
)
GLM4 = (
    "{{ tools }}{% for m in messages %}{% if m.role == 'assistant' and m.metadata %}<|assistant|>"
    "{{ m.metadata }}\n{{ m.content }}{% elif m.role == 'observation' %}<|observation|>\n"
    "{{ m.content }}{% else %}<|{{ m.role }}|>\n{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
APERTUS = CHATML + "{{ tools }}{# <|tools_prefix|> tool_calls <|inner_prefix|> #}"
APERTUS += "{{ enable_thinking }}"
COMMAND = CHATML + "{{ tools }}{# <|START_ACTION|> tool_calls tool_call_id #}"
EXAONE4 = CHATML + "{{ tools }}{# <tool_call> <tool_result> tool_calls #}"
OLMO3 = CHATML + "{{ tools }}{# <function_calls> tool_calls environment #}"
_CALLS = (
    "{% for c in m.tool_calls or [] %}{{ '<｜tool▁calls▁begin｜>' if loop.first }}{{ one }}"
    "{{ '<｜tool▁calls▁end｜>' if loop.last }}{% endfor %}<|im_end|>"
)
_ONE = "{{ c.function.name }}<｜tool▁sep｜>{{ c.function.arguments | tojson }}"
_FENCED = (
    "function<｜tool▁sep｜>{{ c.function.name }}\n```json\n{{ c.function.arguments | tojson }}\n```"
)
DEEPSEEK, DEEPSEEK_V3 = (
    CHATML.replace("<|im_end|>", _CALLS)
    .replace("{{ m['content'] }}", "{{ m['content'] if m['content'] is not none else '' }}")
    .replace("{{ one }}", f"<｜tool▁call▁begin｜>{one}<｜tool▁call▁end｜>")
    for one in (_ONE, _FENCED)
)
GRANITE = CHATML + "{{ tools | tojson }}{# <|tool_call|> <|start_of_role|> #}"
PHI4 = (
    CHATML.replace("for m in", "for message in")
    .replace("m['", "message['")
    .replace(
        "<|im_end|>",
        "{% if 'tools' in message %}<|tool|>{{ message['tools'] }}<|/tool|>{% endif %}<|im_end|>",
    )
)
SMOLLM3 = (
    "{% if xml_tools %}{% for tool in xml_tools[:] %}{{ tool | string }}\n{% endfor %}"
    "<tool_call>{% endif %}" + CHATML
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
USER = [{"role": "user", "content": "How is it in Rome?"}]
ROME = '{"name": "weather", "arguments": {"city": "Rome"}}'
TRIP = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Rome", "Zürich"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
        "by": {"type": "array", "items": {"enum": ["bus", "train"]}, "maxItems": 2},
    },
    "required": ["city", "days"],
}
TOOLS = [TOOL, {"type": "function", "function": {"name": "trip", "parameters": TRIP}}]


def is_trip(arguments: Any) -> bool:
    by = arguments.get("by", [])
    return (
        arguments["city"] in TRIP["properties"]["city"]["enum"]  # type: ignore[index]
        and 1 <= arguments["days"] <= 30
        and len(by) <= 2 and set(by) <= {"bus", "train"}
        and set(arguments) <= {"city", "days", "by"}
    )  # fmt: skip


class Chat:
    """A chat whose model says what it is told to, as far as the rules let it."""

    def __init__(self, tokenizer: Tokenizer, n_most: int = 500, **options: Any) -> None:
        self.tokenizer = tokenizer
        messages, form = options.pop("messages", USER), options.pop("format", "auto")
        shape = options.pop("shape", None)
        asked, rest = ChatAsked.split(options)
        assert not rest
        asked = replace(asked, shape=shape)
        self.prompt: ChatPrompt = chat_prompt(
            tokenizer, messages, tools=asked.tools, thinking=asked.thinking, format=form
        )
        params = SamplingParams(max_tokens=n_most)
        how = asked.request(tokenizer, Grammars(tokenizer), self.prompt, params.stop)
        self.request = TextRequest(tokenizer, self.prompt.tokens, params, 10_000, **how)

    @property
    def asked(self) -> str:
        pieces = (
            self.tokenizer.token_bytes(i) or self.tokenizer.piece(i).encode()
            for i in self.prompt.tokens
        )
        return b"".join(pieces).decode()

    def says(self, text: str, *, spelled: bool = False) -> ChatCompletion:
        """The result; `spelled` without special tokens."""
        tokenizer = self.tokenizer
        ids = tokenizer.encode_fragment(text) if spelled else tokenizer.encode_rendered(text)
        ids = [*ids, *sorted(tokenizer.eog_ids)[:1]]
        while not self.request.finish_reason:
            row = np.zeros(tokenizer.n_vocab, np.float32)
            row[ids[0]] = 1.0
            token = self.request.sample(row)
            if token == ids[0]:
                del ids[0]
            self.request.accept(token)
        done: ChatCompletion = self.request.result()
        return done


def calls(done: ChatCompletion) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in done.tool_calls]


def said_at_random(tokenizer: Tokenizer, n: int, **options: Any) -> Iterator[ChatCompletion]:
    """The results of n chats whose model says anything, as far as the rules let it."""
    rng = np.random.default_rng(5)
    for _ in range(n):
        request = Chat(tokenizer, **options).request
        while not request.finish_reason:
            row = rng.normal(size=tokenizer.n_vocab).astype(np.float32)
            row[sorted(tokenizer.eog_ids)] += 5.0
            request.accept(request.sample(row))
        done: ChatCompletion = request.result()
        yield done


def trips(tokenizer: Tokenizer, n: int, **options: Any) -> Iterator[ChatCompletion]:
    """The same of a model that has to call `trip`: whatever it says is such a call, or is cut."""
    n_called = 0
    for done in said_at_random(tokenizer, n, tools=TOOLS, tool_choice="trip", **options):
        assert done.text == "" and (done.finish_reason == "tool_calls" or done.cut_call)
        assert all(call.name == "trip" and is_trip(call.arguments) for call in done.tool_calls)
        n_called += len(done.tool_calls)
        yield done
    assert n_called > n // 2
