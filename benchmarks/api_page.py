"""Write docs/api.md: every argument of every public function and method.

    python benchmarks/api_page.py

Names, types and defaults are the code's: signatures, TypedDicts, and the dataclasses that check the
keywords. What a method's own arguments are is its docstring's "Args"; what the keywords of calls
are, and whose names they bear, stands in api_keywords.py. A test compares the page with this.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from api_keywords import KEYWORDS, PARAMETERS

import halfbyte
from halfbyte.converting.options import ConversionOptions, Options
from halfbyte.generation import call_keywords as keys
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.candidates import Candidates
from halfbyte.generation.middle_rules import MiddleRules
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.syntax.syntax import Syntax
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_ends import TextEnds
from halfbyte.prompt.thinking import Thinking

OUT = Path(__file__).resolve().parent.parent / "docs" / "api.md"
CHECKED = (SamplingParams, TokenRules, TextEnds, Candidates, Beams, Probabilities, Terms, Syntax,
           MiddleRules, Thinking)  # fmt: skip
# Of keywords that no dataclass has under their names.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("json_schema", "regex", "grammar", "choices", "logits_processor", "adapter",
                     "cache_scope", "prediction", "lookup", "tools", "truncate")),
    "json_whitespace": False, "speculate": True, "tool_choice": "auto", "logit_bias": {},
    "parallel_tool_calls": True,
}  # fmt: skip
OF_CONVERSION = "Of conversion"
FUNCTIONS = ("load", "convert", "pull")
# What each method's `**` stands for: the TypedDict, and groups of KEYWORDS.
ANSWERS = tuple(KEYWORDS)[:7]
TAKEN = {
    "complete": (keys.CompleteCallOptions, (*ANSWERS, "Of complete and infill", "Of complete")),
    "infill": (keys.InfillCallOptions, (*ANSWERS, "Of complete and infill", "Of infill")),
    "chat": (keys.ChatCallOptions, (*ANSWERS, "Of chat")),
    "edit": (keys.CallOptions, ANSWERS),
    "convert": (ConversionOptions, (OF_CONVERSION,)),
}
SCORE_DEFAULTS = {"parse_markers": False, "progress": None, "timeout": None, "priority": 1.0,
                  "cache_scope": None, "adapter": None}  # fmt: skip
HEAD = """# API reference

Every argument of `halfbyte.load`, `convert`, `pull` and of the methods of a model. What they do
together is told in the pages about them; transformers' names have [their own](transformers.md).
Made by `python benchmarks/api_page.py`; a test compares it with the code.

- Methods whose names begin with `a` are awaited, or loops for `async for`; otherwise they are their
  twins: `acomplete` takes what `complete` takes. `stream`, `stream_infill`, `stream_chat` and
  `stream_edit` take what `complete`, `infill`, `chat` and `edit` take, but for what is known at an
  answer's end only (`best_of`, `num_beams`).
- A `Prompt` is a text or token ids (`str | Sequence[int]`). A `Progress` is called with
  `(what, done, total)`. A `Cursor` is an offset in characters or `(line, column)`, from 1. An
  `AdapterChoice` is a name, `(name, scale)`, a list of these, or None.
- Times are in seconds, sizes in bytes, lengths of prompts, answers and windows in tokens,
  probabilities from 0 to 1, log-probabilities in nats.
- What is out of range, of the wrong type, unknown, or not to be had beside the others is a
  `RequestError` whose `param` names it. `edit` ends by its format: it takes no stops and no
  constraint, and gives one answer.
- What a caller of `chat` leaves out of the samplers is as the file says, else as in llama.cpp
  ([sampling](sampling.md)); everywhere else the defaults below hold.
"""


def page() -> str:
    """All of it."""
    parts = [HEAD, "\n## Functions\n"]
    parts += [_member(name, getattr(halfbyte, name)) for name in FUNCTIONS]
    parts.append("\n## Methods of a model\n")
    for name, method in methods():
        if not _is_twin(name):
            parts.append(_member(name, method))
    parts.append("\n## Keywords of calls\n")
    for group, rows in KEYWORDS.items():
        types = _types(ConversionOptions if group == OF_CONVERSION else _EVERY)
        parts.append(
            f"\n### {group}\n\n| keyword | type | default | | source |\n|---|---|---|---|---|\n"
        )
        for name, (what, source) in rows.items():
            default = _code(repr(default_of(name, group)))
            parts.append(f"| `{name}` | {_code(types[name])} | {default} | {what} | {source} |\n")
    return "".join(parts)


def methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods of a model, by name."""
    for name in sorted(dir(halfbyte.Model)):
        method = inspect.getattr_static(halfbyte.Model, name)
        if not name.startswith("_") and inspect.isfunction(method):
            yield name, method


def default_of(name: str, group: str = "") -> Any:
    """A keyword's default; collections are shown as a caller would write them."""
    kinds = (Options,) if group == OF_CONVERSION else CHECKED
    for kind in kinds:
        for field in fields(kind):
            if field.name == name and field.default is not MISSING and name not in DEFAULTS:
                return field.default
    return DEFAULTS[name]


class _EVERY(keys.CompleteCallOptions, keys.InfillCallOptions, keys.ChatCallOptions, total=False):
    """All keywords of calls."""


def _types(options: Any) -> dict[str, str]:
    """The keywords of a TypedDict, and their types as they are written."""
    return {name: getattr(value, "__forward_arg__", str(value))
            for name, value in options.__annotations__.items()}  # fmt: skip


def _is_twin(name: str) -> bool:
    """Whether what it takes is told of another method."""
    return name.startswith("stream") or (name[0] == "a" and hasattr(halfbyte.Model, name[1:]))


def _member(name: str, member: Callable[..., Any]) -> str:
    doc = inspect.getdoc(member) or ""
    first, told = _plain(doc.split("\n")[0]), {**PARAMETERS.get(name, {}), **_arguments(doc)}
    lines = [f"\n### {name}\n\n{first}\n"]
    rows = []
    for parameter in inspect.signature(member).parameters.values():
        if parameter.name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = "" if parameter.default is parameter.empty else _code(repr(parameter.default))
        kind = _code(str(parameter.annotation))
        rows.append(f"| `{parameter.name}` | {kind} | {default} | {told[parameter.name]} |\n")
    if name in ("score", "perplexity"):
        types = _types(keys.ScoreOptions)
        for key, value in SCORE_DEFAULTS.items():
            how = f"| `{key}` | {_code(types[key])} | {_code(repr(value))} |"
            rows.append(f"{how} as in `complete` |\n")
    if rows:
        lines += ["\n| argument | type | default | |\n|---|---|---|---|\n", *rows]
    if name in TAKEN:
        groups = ", ".join(f"[{group}](#{_anchor(group)})" for group in TAKEN[name][1])
        lines.append(f"\nAnd keywords: {groups}.\n")
    return "".join(lines)


def _arguments(doc: str) -> dict[str, str]:
    """What a docstring's "Args" say, each in one line."""
    found = re.search(r"^Args:\n((?:    .*\n|\n)*)", doc + "\n", re.MULTILINE)
    text = textwrap.dedent(found[1]) if found else ""
    parts = re.findall(r"^(\w+): (.*(?:\n(?: .*)?)*)", text, re.MULTILINE)
    return {name: _plain(" ".join(what.split()).rstrip(".")) for name, what in parts}


def _plain(text: str) -> str:
    """A docstring's text as a cell."""
    return re.sub(r"(?<!`)(<\w+>)", r"`\1`", text.replace("|", "\\|"))


def _code(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return f"`{escaped}`"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
