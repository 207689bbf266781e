"""Write docs/api.md: every argument of every public function and method, and what they give.

    python benchmarks/api_page.py

Names, types and defaults are the code's: signatures, TypedDicts, and the dataclasses that check the
keywords. What a method's own arguments are is its docstring's "Args", what a result has its
"Attributes"; what the keywords of calls are, and whose names they bear, stands in api_keywords.py.
A test compares the page with this.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from api_keywords import KEYWORDS, PARAMETERS

import halfbyte
from halfbyte import errors
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
RESULTS = (
    "Completion", "Infilling", "ChatCompletion", "ToolCall", "Edit", "Stats", "TokenLogprob",
    "TopToken", "Score", "Perplexity", "ConversionReport", "CompletionStream", "CandidateStream",
)  # fmt: skip
GIVEN = ("Repository", "PastEdit", "Diagnostic")
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

Every argument of `halfbyte.load`, `convert`, `pull` and of the methods of a model, [what they
give](#results) and [raise](#errors). What they do together is told in the pages about them;
transformers' names have [their own](transformers.md). Made by `python benchmarks/api_page.py`; a
test compares it with the code.

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
    parts.append(
        "\n## Results\n\nThey have `to_dict()`, whose values JSON can hold, and can be pickled.\n"
    )
    parts += [_class(name) for name in RESULTS]
    parts.append("\n## What calls take besides\n")
    parts += [_class(name) for name in GIVEN]
    tree = re.search(r"^    HalfbyteError\n(?:    .*\n)+", errors.__doc__ or "", re.MULTILINE)
    assert tree is not None
    parts.append(f"\n## Errors\n\nAll are names of `halfbyte`, and can be pickled.\n\n{tree[0]}")
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


def _class(name: str) -> str:
    """What an object of a class has: its own fields, and what is made of them."""
    kind = getattr(halfbyte, name)
    doc, (base, *_) = inspect.getdoc(kind) or "", kind.__bases__
    about = " ".join(doc.partition("\n\nAttributes:")[0].split())
    of = f" It has what a [{base.__name__}](#{_anchor(f'halfbyte.{base.__name__}')}) has, and:"
    lines = [f"\n### halfbyte.{name}\n\n{about}{of if base.__name__ in RESULTS else ''}\n"]
    types = {one.name: str(one.type) for one in fields(kind)} if is_dataclass(kind) else {}
    rows = [
        (names.split(", "), types[names.split(", ")[0]], what)
        for names, what in _arguments(doc, "Attributes").items()
    ]
    told = {one for names, _, _ in rows for one in names}
    inherited = {one.name for one in fields(base)} if is_dataclass(base) else set()
    assert types.keys() - inherited <= told, f"{name}: {types.keys() - inherited - told}"
    for one in sorted(set(dir(kind)) - set(dir(base)) - types.keys()):
        member = inspect.getattr_static(kind, one)
        if not one.startswith("_") and isinstance(member, (property, FunctionType)):
            first = _plain((inspect.getdoc(member) or "").split("\n")[0]).rstrip(".")
            first = first[:1].lower() + first[1:]
            called = [one] if isinstance(member, property) else [f"{one}()"]
            getter = member.fget if isinstance(member, property) else member
            rows.append((called, str(inspect.signature(getter).return_annotation), first))
    lines.append("\n| | type | |\n|---|---|---|\n")
    for names, type_, what in rows:
        type_ = re.sub(r"\bC\b", "Completion", type_)  # what a stream is generic in
        lines.append(f"| {', '.join(map(_code, names))} | {_code(type_)} | {what} |\n")
    return "".join(lines)


def _arguments(doc: str, heading: str = "Args") -> dict[str, str]:
    """What a part of a docstring says of each name, or of several together, in one line."""
    found = re.search(rf"^{heading}:\n((?:    .*\n|\n)*)", doc + "\n", re.MULTILINE)
    text = textwrap.dedent(found[1]) if found else ""
    parts = re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n(?: .*)?)*)", text, re.MULTILINE)
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
