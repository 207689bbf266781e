"""Chat templates by name: from folders, through GGUF, to the one that is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest

from halfbyte.conversion import convert
from halfbyte.errors import ConversionError
from halfbyte.hf.tokenizer.llama_tokenizer import LlamaTokenizer
from halfbyte.prompt.chat import chat_prompt
from halfbyte.tokenizer import Tokenizer

ASK = [{"role": "user", "content": "x"}]
NAMED = {"default": "d{{ messages[0].content }}", "tool_use": "t", "rag": "r"}


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "hf"))


def as_setting(folder: Path, named: dict[str, str]) -> None:
    """As transformers saved them for years."""
    stated = [{"name": name, "template": text} for name, text in named.items()]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": stated}))


def as_files(folder: Path, named: dict[str, str]) -> None:
    """As it saves them now; what the settings say then does not count."""
    as_setting(folder, {"default": "old", "more": "m"})
    (folder / "additional_chat_templates").mkdir()
    for name, text in named.items():
        is_default = name == "default"
        place = "chat_template" if is_default else f"additional_chat_templates/{name}"
        (folder / f"{place}.jinja").write_text(text)


@pytest.mark.parametrize(
    ("write", "names", "used"),
    [
        (as_files, ["default", "tool_use", "rag"], "default"),
        (as_setting, ["default", "tool_use", "rag"], "default"),
        (as_setting, ["rag", "tool_use"], "tool_use"),
        (as_files, ["rag", "other"], "other"),  # the first by name
    ],
)
def test_named_templates(
    folder: Path, tmp_path: Path, write: object, names: list[str], used: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    named = {name: NAMED.get(name, name) for name in sorted(names)}
    write(folder, named)  # type: ignore[operator]
    out = tmp_path / "out.gguf"
    convert(folder, out, type="f16", measure=False)
    convert(out, tmp_path / "again.gguf", type="f16", measure=False)
    for path in (folder, out, tmp_path / "again.gguf"):
        caplog.clear()
        tokenizer = Tokenizer.from_path(path)
        assert tokenizer.chat_template == named[used]
        word = f"no default chat template among {', '.join(named)}: {used!r} is used"
        assert (word in caplog.text) == bool(caplog.records) == (used != "default")
        known = dict(tokenizer.vocabulary.named_templates)
        default = tokenizer.vocabulary.chat_template
        assert known | ({"default": default} if default else {}) == named
        theirs = LlamaTokenizer.from_pretrained(path)
        assert {name: theirs.get_chat_template(name) for name in named} == named
    others = [name for name in named if name != "default"]
    assert gguf.GGUFReader(out).fields["tokenizer.chat_templates"].contents() == others
    if used == "default":
        assert tokenizer.decode(chat_prompt(tokenizer, ASK).tokens) == "dx"


@pytest.mark.parametrize(
    "stated",
    [5, [5], {"default": 5}, [{"name": "a"}], [{"name": ["a"], "template": "b"}],
     [{"name": "a", "template": "b"}, {"name": "a", "template": "c"}]],
)  # fmt: skip
def test_templates_that_are_none_are_refused(folder: Path, stated: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": stated}))
    with pytest.raises(ConversionError, match="a text, or texts by name"):
        Tokenizer.from_path(folder)


def test_a_template_that_cannot_be_read_is_an_error(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ConversionError, match="readable UTF-8"):
        Tokenizer.from_path(folder)
