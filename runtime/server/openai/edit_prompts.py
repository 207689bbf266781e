"""Prompts that editors lay out themselves and send to `/v1/completions`.

A text with a gap, in the markers of the model, is filled where the request has answers end at such
markers, as Zed's have: who does not speak in markers means plain text.

Zed, cursortab and others write the prompts of Sweep's and Zeta's models too. Where a model is for
edits, by its file or by the name that it is served under, such a prompt is known by its shape: its
marks are tokens, its answer ends where the format's answers end, and the text that may change is
what the answer is guessed to be.
"""

from __future__ import annotations

from typing import Any

from halfbyte.prompt.client_gap import MARKS
from halfbyte.server.served_model import ServedModel

_N_MORE = 64  # tokens that an answer may have beyond half more than the text that may change


def edit_prompt(
    model: ServedModel, prompt: str | list[int], options: dict[str, Any]
) -> str | list[int]:
    """The prompt as `complete` takes it; of one for an edit, `options` get what belongs to it."""
    if not isinstance(prompt, str) or "parse_markers" in options or model.edit_format is None:
        return prompt
    read = model.model.read_edit_prompt(prompt, format=model.edit_format)
    if read is None:
        return prompt
    options["stop"] = [*options.get("stop", ()), *read.stop]
    options["stop_tokens"] = [*options.get("stop_tokens", ()), *read.stop_tokens]
    options.setdefault("prediction", read.draft)
    if "max_tokens" not in options:
        n_draft = len(model.model.tokenizer.encode_fragment(read.draft))
        options["max_tokens"] = n_draft + n_draft // 2 + _N_MORE
    return read.tokens


def gap_of(
    model: ServedModel, prompts: list[str | list[int]], options: dict[str, Any]
) -> tuple[str, str] | None:
    """The two sides of the gap in the only prompt, which an editor laid out."""
    text = prompts[0]
    if len(prompts) > 1 or not isinstance(text, str) or "parse_markers" in options:
        return None
    if options.get("echo") or MARKS.isdisjoint(one.strip() for one in options.get("stop", ())):
        return None
    return model.model.read_infill_prompt(text)
