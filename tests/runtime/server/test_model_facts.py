"""Facts of files, which nobody loads for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import halfbyte
from halfbyte.server.model_facts import facts_of
from tests.runtime.server.chat_models import PACKAGED, THINKS, with_template

XML_CALLS = "{{ tools }}<tool_call><invoke name>"  # a way to call that is not known here


def test_they_are_what_the_loaded_model_says() -> None:
    facts = facts_of("infill-10m")
    assert facts is not None and facts == facts_of(str(PACKAGED))
    with halfbyte.load("infill-10m", threads=1) as model:
        assert facts.config == model.config and facts.can_infill is model.can_infill is True
    assert (facts.type_name, facts.tokenizer, facts.template) == ("Q8_0", "llama", "")
    assert not facts.can_call and not facts.can_think
    assert facts.nbytes == PACKAGED.stat().st_size


@pytest.mark.parametrize(
    ("template", "abilities"),
    [(THINKS, (True, True)), (XML_CALLS, (False, False)), ("{{ messages }}", (True, False))],
)
def test_templates_tell_of_abilities(
    tmp_path: Path, template: str, abilities: tuple[bool, bool]
) -> None:
    facts = facts_of(str(with_template(tmp_path / "m.gguf", template)))
    assert facts is not None and (facts.can_call, facts.can_think) == abilities


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = with_template(tmp_path / "m.gguf", "{{ messages }}")
    before = facts_of(str(path))
    with_template(path, THINKS)
    os.utime(path, (1, 1))
    after = facts_of(str(path))
    assert before is not None and after is not None
    assert after.can_think and not before.can_think and before.stamp != after.stamp


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03")
    for source in (str(broken), str(tmp_path / "gone.gguf"), "no-such-name", str(tmp_path), "\0"):
        assert facts_of(source) is None
