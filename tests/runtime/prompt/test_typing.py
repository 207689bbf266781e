"""Typing in a long file: which tokens of each prompt are not in an earlier one."""

from __future__ import annotations

import argparse
import inspect

import pytest

import halfbyte
from halfbyte.models import catalogue
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillPrompt, Repository
from halfbyte.tokenizer import Tokenizer

N_KEYS, WINDOW = 200, 512


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder(Tokenizer.from_path(catalogue.resolve("infill-10m")), 2048, ["infill-10m"])


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Real source of 1,500 lines, which no change of ours changes."""
    made = inspect.getsource(argparse).splitlines(keepends=True)[:1500]
    assert len(made) == 1500
    return made


def shown(
    encoder: PromptEncoder,
    prefix: str,
    suffix: str,
    order: str,
    repository: Repository | None = None,
) -> InfillPrompt:
    return encoder.infilling(
        prefix, suffix, order=order, heal=True, repository=repository, parse_markers=False,
        window=WINDOW, max_tokens=64,
    )  # fmt: skip


def n_shared(a: list[int], b: list[int]) -> int:
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def n_new_of_each(prompts: list[InfillPrompt]) -> list[int]:
    """For each but the first, the tokens behind what it shares with any before it."""
    ids = [prompt.tokens for prompt in prompts]
    return [
        len(ids[i]) - max(n_shared(ids[i], earlier) for earlier in ids[:i])
        for i in range(1, len(ids))
    ]


@pytest.mark.parametrize("line", [150, 700, 1450])
@pytest.mark.parametrize("order", ["psm", "spm", "auto"])
def test_a_keystroke_costs_its_keystroke(
    encoder: PromptEncoder, lines: list[str], order: str, line: int
) -> None:
    text, begin = "".join(lines), len("".join(lines[:line]))
    suffix = text[begin + N_KEYS :]
    prompts = [shown(encoder, text[: begin + n], suffix, order) for n in range(0, N_KEYS + 1, 2)]
    heads = {prompt.n_prefix_dropped for prompt in prompts}
    # 200 characters take more than their length from a far end of longer tokens: two steps at most.
    assert len(heads) <= 3 and max(heads) > 0
    # Suffix-first, all but the new tokens is known; prefix-first, the suffix is new each time.
    n_behind = WINDOW // 4 + 3 if order == "psm" else 0
    new = sorted(n_new_of_each(prompts))
    assert new[-1 - len(heads)] <= n_behind + 8
    if order != "psm":
        assert new[len(new) // 2] <= 1


def test_the_cursor_moves_within_a_step(encoder: PromptEncoder, lines: list[str]) -> None:
    """Prefix-first, the head stays; a step is some lines long."""
    heads = [
        shown(encoder, "".join(lines[:n]), "".join(lines[n:]), "psm").n_prefix_dropped
        for n in range(600, 640)
    ]
    assert heads == sorted(heads) and len(set(heads)) <= 8


def test_the_room_of_a_short_prefix_moves_in_steps(
    encoder: PromptEncoder, lines: list[str]
) -> None:
    """What it leaves to the suffix, and to other files."""
    suffix = "".join(lines[40:])
    files = Repository({f"{i}.py": "".join(lines[i * 20 : i * 20 + 20]) for i in range(30)}, "m.py")
    for repository in (None, files):
        prompts = [
            shown(encoder, "".join(lines[:n]), suffix, "spm", repository) for n in range(2, 22)
        ]
        seen = {(made.n_suffix_dropped, made.files_dropped) for made in prompts}
        assert 1 < len(seen) <= 7


def test_a_model_computes_the_new_tokens_only(
    infill_model: halfbyte.Model, lines: list[str]
) -> None:
    before, after = "".join(lines[:700]), "".join(lines[700:])
    n_new = []
    for typed in ("x", "x = ", "x = foo", "x = foo("):
        stats = infill_model.infill(before + typed, after, max_tokens=1, reuse_answer=False).stats
        n_new.append(stats.n_prompt - stats.n_reused)
    assert n_new[0] > 300 and max(n_new[1:]) <= 4
