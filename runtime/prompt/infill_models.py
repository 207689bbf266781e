"""Which models were trained to infill: known by name, since a vocabulary does not tell.

Many models have the vocabulary, and with it the infilling tokens, of one that was trained with
them. Asked to infill, they answer with whatever follows text that they have never seen.

A row names models by a regular expression, tried on a name in small letters with hyphens for
whatever else separates its parts; of one name the first row that matches counts, and of a
model's names the first that a row knows: its own, then those of the models it was made from, then
the file's. A model that no row knows is not offered either, but can be told to infill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halfbyte.errors import UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass

KNOWN = (
    "Code Llama 7B and 13B (base and Instruct, not Python), Qwen2.5-Coder, Qwen3-Coder, "
    "CodeQwen1.5 (base), DeepSeek-Coder (base), Magicoder-DS, Seed-Coder (base), Mellum 4B, "
    "Mellum 2 (base), StarCoder, Granite-code, CodeGemma (base), Yi-Coder (base), OpenCoder "
    "(base), GLM 4.5 and later, Granite 4, Codestral and infill-10m"
)
_INSIST = "if it was trained to infill all the same, insist with force=True (--force)"


@dataclass(frozen=True, slots=True)
class Row:
    """Models, whether they were trained to infill in a layout of infill_layouts.py.

    Attributes:
        names: a regular expression for their names.
        is_trained: whether they were.
        source: who says so.
        layout: the family whose layout it is, where the vocabulary could be another's.
        thinks: whether that holds for those, too, whose chat template has them think first.
    """

    names: str
    is_trained: bool
    source: str
    layout: str = ""
    thinks: bool = False


_SIZE = r"(?<![\d.])(?:{})b(?![a-z])"
_PAPER = "Rozière et al., Code Llama (2023), table 1 and section 2.3; the cards of the 70B models"
_QWEN = "shares Qwen2.5-Coder's vocabulary; its card names no infilling"

ROWS = (
    Row("infill-10m", True, "runtime/data/infill-10m.md"),
    # Made from infilling models, to answer other prompts.
    Row("sweep-next-edit|(?:^|-)zeta", False, "their cards: trained on edits, in another layout"),
    Row("mellum-?2.*(?:instruct|thinking)", False, "their cards: the base model"),
    Row("mellum-?2", True, "its makers' file for Ollama, by its stops; tsugi.nvim asks it so",
        layout="Mellum"),
    Row("mellum", True, "its card and paper: suffix, prefix, middle", layout="Mellum"),
    Row("seed-coder.*(?:instruct|reasoning)", False, "their cards: the base model"),
    Row("seed-coder", True, "its card, Fill-in-the-Middle"),
    Row("codegemma.*it(?:-|$)", False, "its card: 2B and 7B, not the instruct model"),
    Row("codegemma", True, "its card and report, table 1"),
    Row("(?:yi|open)-?coder.*(?:chat|instruct)", False, "their READMEs: the base models"),
    Row("(?:yi|open)-?coder", True, "their makers; infly/OpenCoder-8B-Base, discussion 4"),
    Row("glm-?(?:4[.-][5-9](?!b)|[5-9])", True, "tokens that llama.cpp knows it by", thinks=True),
    Row("code-?llama.*python", False, _PAPER),
    Row(f"code-?llama.*{_SIZE.format('34|70')}", False, _PAPER),
    Row(f"code-?llama.*{_SIZE.format('6[.]7|7|13')}", True, _PAPER),
    Row("qwen-?2\\.?5-coder", True, "its README; Instruct too: QwenLM/Qwen3-Coder, issue 206"),
    Row("qwen-?3-coder", True, "its README, Fill in the middle with Qwen3-Coder"),
    Row("codeqwen-?1\\.5.*chat", False, "its README: the base model"),
    Row("codeqwen-?1\\.5", True, "its README, File-Level Code Completion"),
    Row("qwen|qwq", False, _QWEN),
    Row("deepseek-coder.*instruct", False, "its makers: deepseek-ai/DeepSeek-Coder, issue 80"),
    Row("deepseek-coder.*v1\\.5", False, "its card: next-token prediction only"),
    Row("deepseek-coder-v2(?!-lite)", False, "its report, arXiv:2406.11931: Lite alone"),
    Row("deepseek-coder", True, "its README, Code Insertion"),
    Row("deepseek", False, "their cards name no infilling"),
    Row("magicoder.*-ds", True, "its makers: ise-uiuc/magicoder, issue 5"),
    Row("granite.*code", True, "its makers: ibm-granite/granite-code-models, issue 3"),
    Row("granite-?4", True, "its card, Capabilities: Fill-In-the-Middle code completions"),
    Row("starcoder", True, "their cards, Fill-in-the-middle"),
    Row("codestral", True, "its card, Fill-in-the-middle"),
    Row("mistral|mixtral|devstral|magistral", False, "share Codestral's vocabulary"),
)  # fmt: skip

_SEPARATORS = re.compile(r"[^a-z0-9.]+")
_THINKS = "<think>"


def check_trained(path: str, names: Sequence[str], template: str | None) -> None:
    """Refuse a model that was not trained to infill, or of which that is not known.

    Args:
        path: its file, for the error.
        names: what it is called, see families.model_card.
        template: its chat template; one that has the model think first is no infilling model's.

    Raises:
        UnsupportedModelError: and how to insist.
    """
    name, row = find_row(names)
    if row is not None and row.is_trained and (row.thinks or _THINKS not in (template or "")):
        return
    if row is None:
        what = f"{names[0]!r}" if names else "a model without a name"
        got = f"{what}, of which that is not known"
    elif row.is_trained:
        got = f"{name!r} with a chat template that has it think first"
    else:
        got = f"{name!r}, which was not"
    raise UnsupportedModelError(
        path,
        "infilling",
        expected="a model that was trained to infill",
        got=got,
        hint=f"{KNOWN} were; {_INSIST}",
    )


def find_row(names: Sequence[str]) -> tuple[str, Row | None]:
    """The first name that a row knows, and the row; no row where none does."""
    for name in names:
        for row in ROWS:
            if re.search(row.names, plain_name(name)):
                return name, row
    return "", None


def plain_name(name: str) -> str:
    """A name in small letters, with hyphens between its parts."""
    return _SEPARATORS.sub("-", name.lower())
