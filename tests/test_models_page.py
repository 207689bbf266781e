"""docs/models.md says what runs, as the code has it; README and the other pages lead there."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from halfbyte.families.registry import BY_MODEL_TYPE, FAMILIES
from halfbyte.prompt.edit.edit_formats import FORMATS as EDIT_FORMATS
from halfbyte.prompt.infill_layouts import FAMILIES as LAYOUTS
from halfbyte.prompt.tools.formats import KNOWN

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "models.md").read_text("utf-8")
AGAIN = "python benchmarks/models_page.py writes it anew"


@pytest.fixture(scope="module")
def written() -> ModuleType:
    """The script that writes the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import models_page  # type: ignore[import-not-found]
    return models_page  # type: ignore[no-any-return]


def rows(heading: str) -> list[list[str]]:
    """The cells of a section's first table."""
    _, _, text = PAGE.partition(f"\n## {heading}\n")
    assert text, f"docs/models.md has nothing about {heading}"
    lines = text.partition("\n| ")[2].partition("\n\n")[0].split("\n")[2:]
    return [re.split(r"(?<!\\) \| ", line.strip().strip("|").strip()) for line in lines]


def test_the_page_is_current(written: ModuleType) -> None:
    assert written.page() == PAGE, AGAIN


def test_each_kind_of_model_is_there() -> None:
    """A family's row, and a published model of each kind."""
    families = {row[0]: row[1] for row in rows("Families")}
    assert families == {
        f"`{name}`": ", ".join(
            f"`{kind}`"
            for kind, one in BY_MODEL_TYPE.items()
            if one is family or (not family.model_types and one.stages is family.stages)
        )
        for name, family in FAMILIES.items()
    }
    kinds = {row[1].strip("`") for row in rows("Models")}
    assert kinds == set(BY_MODEL_TYPE), "a line in benchmarks/published_models.py for each kind"


def test_each_layout_and_format_has_a_model() -> None:
    models = rows("Models")
    assert {row[3].partition(":")[0] for row in models} >= {
        one.name for one in LAYOUTS if one.name != "GLM"
    }
    assert {row[4].strip("`") for row in models} >= {*EDIT_FORMATS, "fim"}
    # DeepSeek-V3.2's attention does not run yet.
    assert {row[6].strip("`") for row in models} >= {*KNOWN, "generic"} - {"dsml"}


@pytest.mark.parametrize(
    ("name", "told"),
    [  # by their makers' cards
        ("CodeLlama-7b-hf", "Code Llama: psm, spm | `fim` | - | - | -"),
        ("CodeLlama-13b-Instruct-hf", "Code Llama: psm, spm | `fim` | `llama-2` | `generic` | -"),
        ("Qwen3-8B", "untrained | - | `template` | `hermes` | `</think>`, switch"),
        ("Mellum-4b-base", "Mellum: spm | `fim` | - | - | -"),
        ("zeta-2.1", "untrained | `zeta-2.1` | - | - | -"),
        ("Llama-3.1-8B-Instruct", "- | - | `template` | `llama-3` | -"),
    ],
)
def test_a_model_has_what_its_card_says(name: str, told: str) -> None:
    assert re.search(rf"^\| {re.escape(name)} \| `\w+` \| `\w+` \| {re.escape(told)} \|$", PAGE,
                     re.MULTILINE)  # fmt: skip


@pytest.mark.parametrize(
    ("family", "cell", "told"),
    [  # by their papers
        ("starcoder", 4, "LayerNorm before"),
        ("starcoder", 6, "learned"),
        ("olmo2", 4, "RMSNorm behind; of all of q and of k"),
        ("gemma2", 5, "GeGLU (tanh)"),
        ("gemma2", 6, "RoPE; a window in all but every 2nd layer, where stated"),
        ("smollm3", 6, "RoPE; none in every 4th layer"),
        ("starcoder2", 5, "GELU (tanh), no gate"),
        ("qwen2", 7, "biases of `attn_k`, `attn_q`, `attn_v`"),
    ],
)
def test_a_family_is_told_as_its_paper_has_it(family: str, cell: int, told: str) -> None:
    found = next(row for row in rows("Families") if row[0] == f"`{family}`")
    assert found[cell] == told


def test_readme_leads_there() -> None:
    assert "](docs/models.md)" in (ROOT / "README.md").read_text("utf-8")
