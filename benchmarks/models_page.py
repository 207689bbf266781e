"""Write docs/models.md: what runs, and what of each model.

    python benchmarks/models_page.py

All of it is asked of the code: the families' own stages and what config.json's absent keys mean in
them, the layouts of infilling, the formats of edits, chats and calls, the tensor types and what
writes them. Of published models there are the names and the words of their files by which the code
tells them (published_models.py). A test compares the page with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from published_models import MODELS, Published
from runnable_families import family_rows

from halfbyte.converting.recipe import KEEP, RECIPES
from halfbyte.errors import UnsupportedModelError
from halfbyte.families.registry import BY_MODEL_TYPE
from halfbyte.families.rope_from_hf import ROPE_KINDS
from halfbyte.families.wrapped import TEXT_KINDS
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.grids import SUPPORTED
from halfbyte.prompt.chat import detect_format
from halfbyte.prompt.edit import cursor_infill
from halfbyte.prompt.edit.edit_formats import FORMATS as EDIT_FORMATS
from halfbyte.prompt.edit.edit_formats import check_vocabulary, find_edit_format
from halfbyte.prompt.infill import find_format
from halfbyte.prompt.infill_layouts import FAMILIES as LAYOUTS
from halfbyte.prompt.infill_layouts import Family as InfillFamily
from halfbyte.prompt.infill_models import ROWS, check_trained
from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.thinking import MARKS, SWITCHES, marks_of
from halfbyte.prompt.tools.formats import ASKED, GENERIC, format_of
from halfbyte.prompt.tools.placed import VARIABLES, place_of
from halfbyte.tokenizer.pretokenizers import PLAIN, PRE_TOKENIZERS

OUT = Path(__file__).resolve().parent.parent / "docs" / "models.md"
NONE, UNTRAINED = "-", "untrained"
HEAD = """# What runs

Made by `python benchmarks/models_page.py` out of the code; a test compares it with the code. How a
family is added: [families.md](families.md), a tensor type: [types.md](types.md).

## Models

Examples of what is published; others of the same `model_type` run as well. Each runs from its
Hugging Face checkpoint (`model_type` in config.json, or in its `text_config`) and from a GGUF file
(its architecture).

- *infill*: [the layout](#infilling) and its orders; "untrained": the tokens are there, infilling is
  refused unless `force=True` insists.
- *edit*: [the format](#edits) of `model.edit`; `fim` is an insertion at the cursor.
- *chat*: whose layout; `template` is the file's own. *tools*: [the format](#tools) of calls,
  `generic` where the template has no place for tools; "refused": the model chats, without tools.
- *thinking*: the mark that ends [thoughts](#thinking), and whether the template has a switch.

"""


def page() -> str:
    """All of it."""
    parts = [HEAD, table(_MODEL_COLUMNS, map(_model_row, MODELS))]
    parts += [f"\n## {heading}\n\n{body()}" for heading, body in _SECTIONS.items()]
    return "".join(parts)


def table(columns: str, rows: Iterable[Iterable[str]]) -> str:
    """A table with the columns of `columns`, which commas divide."""
    names = columns.split(", ")
    lines = [" | ".join(names), "|".join("---" for _ in names)]
    lines[1] = f"|{lines[1]}|"
    lines[0] = f"| {lines[0]} |"
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def code(text: str) -> str:
    """A text as it is, in a cell."""
    return f"`{text}`".replace("|", "\\|") if text else NONE


_MODEL_COLUMNS = "model, from HF, from GGUF, infill, edit, chat, tools, thinking"


def _model_row(model: Published) -> tuple[str, ...]:
    tokenizer = _Vocabulary(model)
    infill, edit = _infill_of(model, tokenizer), _edit_of(model, tokenizer)
    if edit == NONE and infill not in (NONE, UNTRAINED):
        edit = code(cursor_infill.NAME)
    architecture = model.gguf or BY_MODEL_TYPE[model.kind].architecture
    return (
        model.name,
        code(model.kind),
        code(architecture),
        infill,
        edit,
        *_chat_of(tokenizer),
    )


class _Vocabulary:
    """What is known of a model's file, as far as formats are found by it."""

    path, kind, adds_space = "", "spm", False

    def __init__(self, model: Published) -> None:
        self.name, self._tokens = model.name, model.tokens.split()
        self.vocabulary = SimpleNamespace(special={})
        words = (model.template or "").split()
        reads = "".join(f"{{{{ {word} }}}}" for word in words if word.isidentifier())
        self.chat_template = None if model.template is None else reads + " ".join(words)

    def id_of(self, text: str) -> int | None:
        """Some number for a token that it has."""
        return self._tokens.index(text) if text in self._tokens else None


def _infill_of(model: Published, tokenizer: Any) -> str:
    found = find_format(tokenizer, [model.name])
    if found is None:
        return NONE
    try:
        check_trained("", [model.name], tokenizer.chat_template)
    except UnsupportedModelError:
        return UNTRAINED
    return f"{found.family.name}: {', '.join(found.orders)}"


def _edit_of(model: Published, tokenizer: Any) -> str:
    found = find_edit_format([model.name])
    if found is None:
        return NONE
    check_vocabulary(tokenizer, found)
    return code(found.name)


def _chat_of(tokenizer: Any) -> tuple[str, str, str]:
    source = tokenizer.chat_template
    if source is None:
        return NONE, NONE, NONE
    chat = detect_format(tokenizer)
    if chat != "template":
        return code(chat), code(GENERIC.name), NONE
    variables, marks = ChatTemplate(source, path="").variables, marks_of(source)
    tools = code(GENERIC.name)
    if place_of(source, variables):
        try:
            tools = code(format_of(source, "").name)
        except UnsupportedModelError:
            tools = "refused"
    switch = next((name for name in SWITCHES if name in variables), "")
    thinking = code(marks[1]) + (", switch" if switch else "") if marks else NONE
    return code(chat), tools, thinking


def _families() -> str:
    columns = "from GGUF, from HF, what it is, source, norms, network, positions, besides"
    told = (
        "What each computes, by its own list of stages; how many experts there are, where "
        "config.json does not say it."
    )
    return f"{told}\n\n{table(columns, family_rows(code))}"


def _positions() -> str:
    kinds = ", ".join(map(code, ROPE_KINDS))
    return f"`rope_type` in config.json, of all families that rotate: {kinds}.\n"


def _wrapped() -> str:
    inner = ", ".join(f"{code(outer)} ({code(kind)})" for outer, kind in TEXT_KINDS.items())
    return (
        "A checkpoint whose model of text is a part (`text_config`) runs if the `model_type` there "
        "does; what sees or hears is left out, with a warning. Where it has none there, these are "
        f"known: {inner}.\n"
    )


def _infilling() -> str:
    layouts = table(
        "layout, prefix-first, suffix-first, other files",
        ((one.name, _laid_out(one, one.psm), _laid_out(one, one.spm), _other_files(one))
         for one in LAYOUTS),
    )  # fmt: skip
    names = table(
        "name, trained, by whom it is said",
        ((code(row.names), _yes(row.is_trained), row.source) for row in ROWS),
    )
    known = (
        "`P` and `S` are prefix and suffix. A layout is known by its tokens; whether a model was "
        "trained on it, its name tells. See [infilling](infilling.md)."
    )
    told = "A name has small letters, and hyphens between its parts; the first row of it counts."
    return f"{known}\n\n{layouts}\n{told}\n\n{names}"


def _laid_out(family: InfillFamily, order: str) -> str:
    texts = {"P": family.prefix, "S": family.suffix, "M": family.middle, "p": "P", "s": "S"}
    return code("".join(texts[letter] for letter in order))


def _other_files(family: InfillFamily) -> str:
    if family.file:
        return ", ".join(code(mark) for mark in (family.repo, family.file) if mark)
    return f"lines {code(family.file_line + ' name')}" if family.file_line else "comment lines"


def _edits() -> str:
    rows = [
        (code(one.name), code(one.models), f"{one.n_most:,}", _yes(one.shows_diagnostics),
         one.source)
        for one in EDIT_FORMATS.values()
    ]  # fmt: skip
    rows.append((code(cursor_infill.NAME), "every model that infills", NONE, "no", NONE))
    told = "A model is known by its name. See [edits](edit.md)."
    columns = "format, models, tokens of a prompt, diagnostics, source"
    return f"{told}\n\n{table(columns, rows)}"


def _tools() -> str:
    rows = []
    for texts, known in ASKED:
        marks = ", ".join(map(code, texts))
        if isinstance(known, str):
            rows.append((marks, "refused", f"{known} way"))
        else:
            rows.append((marks, code(known.name), _first_line(type(known))))
    rows.append(("no place for tools", code(GENERIC.name), _first_line(type(GENERIC))))
    told = (
        "A template is known by the texts in it: the first row counts of which it has all. Tools "
        f"are given to it as the variable {' or '.join(map(code, VARIABLES))}, or in its system "
        "message; DeepSeek's write calls and have no place for tools, of which the system's text "
        "tells. See [chat](chat.md)."
    )
    return f"{told}\n\n{table('texts in the template, format, what the model writes', rows)}"


def _first_line(thing: Callable[..., Any]) -> str:
    """A docstring's first line; what it quotes stays text."""
    text = (thing.__doc__ or "").split("\n")[0]
    return text.replace("|", "\\|").replace("<", "\\<")


def _thinking() -> str:
    marks = table("begins, ends", ([code(text) for text in pair] for pair in MARKS))
    switches = ", ".join(map(code, SWITCHES))
    return f"{marks}\n`thinking=` sets what the template reads of {switches}.\n"


def _types() -> str:
    written: dict[str, list[str]] = {}
    for recipe in RECIPES.values():
        written.setdefault(recipe.usual.name, []).append(code(recipe.name))
    rows = (
        (code(one.name), str(one.ggml_id), str(one.block_size),
         f"{8 * one.block_nbytes / one.block_size:g}", ", ".join(written.get(one.name, [NONE])),
         _yes(one.name in SUPPORTED))
        for one in FORMATS.values()
    )  # fmt: skip
    told = (
        "All of them run, in any mixture. `--type` is what `halfbyte convert` calls the mixes "
        f"whose usual type it is; `--type {KEEP}` leaves every tensor as it is. Calibration "
        "chooses the codes of some."
    )
    columns = "type, ggml's number, weights in a block, bits per weight, `--type`, calibrated"
    return f"{told}\n\n{table(columns, rows)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _vocabularies() -> str:
    return (
        "SentencePiece's (tokenizer.model) and byte-level ones (tokenizer.json), whose text is cut "
        f"before merging as one of these {len({*PRE_TOKENIZERS, *PLAIN})} names says "
        f"(`tokenizer.ggml.pre`): {', '.join(_sorted(PRE_TOKENIZERS, PLAIN))}.\n"
    )


def _sorted(*names: Iterable[str]) -> Iterator[str]:
    return iter(sorted({name for some in names for name in some}))


_SECTIONS = {
    "Families": _families,
    "Positions": _positions,
    "Wrapped checkpoints": _wrapped,
    "Infilling": _infilling,
    "Edits": _edits,
    "Tools": _tools,
    "Thinking": _thinking,
    "Tensor types": _types,
    "Vocabularies": _vocabularies,
}

if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
