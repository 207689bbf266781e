"""The table of generate's arguments is true, and none of transformers' names is missing."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path

from halfbyte import GenerationConfig
from halfbyte.hf.auto_model import CausalLM
from halfbyte.hf.generation_names import ABSENT, BEAMS, DEFAULTS, OUTPUTS, SAMPLING, WITHOUT_EFFECT

ROOT = Path(__file__).parents[3]
NAMES = json.loads((ROOT / "tests/data/golden_arguments.json").read_text("utf-8"))["names"]
TABLE = dict(
    re.findall(
        r"^\| `(\w+)` \| (works|refused|no effect) \|",
        (ROOT / "docs" / "transformers.md").read_text("utf-8"), re.MULTILINE,
    )
)  # fmt: skip
WORKING = {field.name for field in fields(GenerationConfig)}


def test_every_name_of_transformers_is_in_the_table() -> None:
    assert len(NAMES["config"]) > 60
    assert {*NAMES["config"], *NAMES["generate"]} - {*TABLE} == set()


def test_the_table_says_what_the_code_does() -> None:
    taken = set(inspect.signature(CausalLM.generate).parameters) - {"self", "parameters"}
    beside = {"input_ids", "attention_mask", "token_type_ids", "tokenizer"}
    said = {what: {n for n, w in TABLE.items() if w == what} for what in TABLE.values()}
    assert said["works"] == WORKING | taken - beside
    assert said["refused"] == ABSENT.keys() - taken
    assert said["no effect"] == set(WITHOUT_EFFECT)


def test_the_configuration_knows_every_name() -> None:
    known = {*WORKING, *ABSENT, *WITHOUT_EFFECT}
    assert set(NAMES["config"]) - known == set()
    assert GenerationConfig.read(dict.fromkeys(NAMES["config"])) == GenerationConfig()
    assert {*DEFAULTS, *BEAMS, *OUTPUTS, *SAMPLING} <= WORKING
    assert not ABSENT.keys() & {*WORKING, *WITHOUT_EFFECT}
