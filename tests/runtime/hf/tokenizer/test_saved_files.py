"""Where a tokenizer is loaded from, and what it writes."""

from __future__ import annotations

import copy
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte.errors import DownloadError, ModelFileError, RequestError
from halfbyte.hf.tokenizer import CodeLlamaTokenizer
from halfbyte.tokenizer import Tokenizer

Same = Callable[[CodeLlamaTokenizer, CodeLlamaTokenizer], None]


@pytest.fixture
def unusual(file: Path) -> CodeLlamaTokenizer:
    """A tokenizer without a single default."""
    tokenizer = CodeLlamaTokenizer(
        file, pad_token="<pad>", suffix_first=True, add_bos_token=False, add_eos_token=True,
        padding_side="left", truncation_side="left", model_max_length=99, eot_token=None,
        chat_template="{{ messages }}", clean_up_tokenization_spaces=True, legacy=False,
        empty_suffix_infills=True, additional_special_tokens=["<x>"],
    )  # fmt: skip
    tokenizer.add_tokens(["<A>"])
    return tokenizer


def test_saving_and_loading(
    file: Path, unusual: CodeLlamaTokenizer, tmp_path: Path, ids: dict[str, int], same: Same
) -> None:
    paths = unusual.save_pretrained(tmp_path / "new" / "folder")
    names = ["tokenizer_config.json", "special_tokens_map.json", "tokenizer.model"]
    assert [Path(path).name for path in paths] == [*names, "added_tokens.json"]
    assert all(Path(path).is_file() for path in paths)
    added = json.loads(Path(paths[3]).read_text("utf-8"))
    assert added == {"<pad>": len(ids), "<x>": len(ids) + 1, "<A>": len(ids) + 2}
    loaded = CodeLlamaTokenizer.from_pretrained(tmp_path / "new" / "folder")
    same(unusual, loaded)
    assert loaded.eot_token is None
    over = CodeLlamaTokenizer.from_pretrained(tmp_path / "new" / "folder", padding_side="right")
    assert over.padding_side == "right"
    special = json.loads(Path(paths[1]).read_text("utf-8"))
    flags = {"lstrip", "normalized", "rstrip", "single_word"}
    assert set(special["eos_token"]) == {"content", *flags}
    no_bos = CodeLlamaTokenizer(file, bos_token=None, add_bos_token=False)
    no_bos.save_pretrained(tmp_path / "no_bos")
    assert CodeLlamaTokenizer.from_pretrained(tmp_path / "no_bos").bos_token is None
    plain = CodeLlamaTokenizer(file)
    paths = plain.save_pretrained(tmp_path / "plain", filename_prefix="my")
    assert [Path(path).name for path in paths[:3]] == [f"my-{name}" for name in names]
    assert not Path(paths[3]).exists()
    with pytest.raises(RequestError, match="save_directory"):
        plain.save_pretrained(file)


def test_saving_the_vocabulary(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, same: Same
) -> None:
    source = tmp_path / "source.model"
    source.write_bytes(file.read_bytes())
    tokenizer = CodeLlamaTokenizer(source)
    target = tmp_path / "tokenizer.model"
    assert tokenizer.save_vocabulary(str(tmp_path)) == (str(target),)
    assert target.read_bytes() == file.read_bytes()
    assert tokenizer.save_vocabulary(tmp_path, "x") == (str(tmp_path / "x-tokenizer.model"),)
    onto_itself = CodeLlamaTokenizer(target)
    assert onto_itself.save_vocabulary(tmp_path) == (str(target),)
    assert target.read_bytes() == file.read_bytes()
    assert tokenizer.save_vocabulary(tmp_path / "absent") is None
    assert "absent" in caplog.text
    source.unlink()
    target.unlink()
    tokenizer.save_vocabulary(tmp_path)
    same(tokenizer, CodeLlamaTokenizer(target))


def test_what_a_folder_states(file: Path, tmp_path: Path, ids: dict[str, int]) -> None:
    (tmp_path / "tokenizer.model").write_bytes(file.read_bytes())
    token = {"content": "</s>", "lstrip": False, "rstrip": False, "single_word": False}
    config = {
        "tokenizer_class": "CodeLlamaTokenizer", "fill_token": "<F>", "model_max_length": 7,
        "eos_token": {"__type": "AddedToken", "normalized": True, **token}, "padding_side": "left",
        "additional_special_tokens": ["▁<PRE>", "▁<EOT>"], "auto_map": {"x": "y"}, "legacy": None,
    }  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    special = {"pad_token": {**token, "content": "<pad>"}, "unk_token": "<unk>",
               "additional_special_tokens": ["<unk>"]}  # fmt: skip
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(special), "utf-8")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 900, "<more>": 901}), "utf-8")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    tokenizer = CodeLlamaTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.fill_token, tokenizer.model_max_length) == ("<F>", 7)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (900, 2)
    assert tokenizer.chat_template == "{{ messages }}"
    markers = ["▁<PRE>", "▁<EOT>", "<unk>", "▁<MID>", "▁<SUF>"]
    assert tokenizer.additional_special_tokens == markers
    added = tokenizer.added_tokens_decoder
    assert (added[900].special, added[901].special) == (True, False)
    assert tokenizer.decode([900, 901], skip_special_tokens=True) == "<more>"
    assert len(tokenizer) == len(ids) + 2
    stated = CodeLlamaTokenizer.from_pretrained(tmp_path, pad_token="</s>", fill_token="<G>")
    assert (stated.pad_token, stated.fill_token) == ("</s>", "<G>")
    chat = CodeLlamaTokenizer.from_pretrained(tmp_path, chat_template="mine")
    assert chat.chat_template == "mine"
    # The constructor looks at the vocabulary alone.
    assert CodeLlamaTokenizer(tmp_path / "tokenizer.model").pad_token is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chat_template", 5),
        ("chat_template", ["x"]),
        ("chat_template", [{"name": "default"}]),
        ("chat_template", {"default": 5}),
        ("added_tokens_decoder", 5),
        ("added_tokens_decoder", {"x": {"content": "y"}}),
        ("added_tokens_decoder", {"-1": {"content": "y"}}),
        ("additional_special_tokens", 5),
        ("additional_special_tokens", "ab"),
        ("model_input_names", 5),
        ("model_input_names", "ab"),
        ("add_bos_token", "yes"),
        ("add_eos_token", "yes"),
        ("suffix_first", "yes"),
    ],
)
def test_what_a_folder_cannot_state(file: Path, tmp_path: Path, name: str, value: Any) -> None:
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({name: value}))
    with pytest.raises(ModelFileError) as caught:
        CodeLlamaTokenizer.from_pretrained(tmp_path)
    assert caught.value.field == name
    assert caught.value.path == str(tmp_path / "tokenizer_config.json")
    with pytest.raises(RequestError, match=name):  # whose value is the call's is told so
        CodeLlamaTokenizer.from_pretrained(tmp_path, **{name: value})
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({name: value}))
    if name == "additional_special_tokens":
        with pytest.raises(ModelFileError, match=f"special_tokens_map.json: {name}: expected"):
            CodeLlamaTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("file_name", "stated"),
    [
        ("tokenizer.json", {"added_tokens": 5}),
        ("tokenizer.json", {"added_tokens": [{"id": 2**40, "content": "x"}]}),
        ("tokenizer.json", {"added_tokens": [{"id": 3, "content": "\ud800"}]}),
        ("added_tokens.json", {"x": -1}),
        ("added_tokens.json", {"x": "1"}),
        ("special_tokens_map.json", {"bos_token": {"content": "x", "lstrip": 1}}),
        ("special_tokens_map.json", {"bos_token": "\ud800"}),
        ("special_tokens_map.json", {"additional_special_tokens": [5]}),
        ("special_tokens_map.json", []),
        ("tokenizer_config.json", {"eos_token": 5}),
        ("tokenizer_config.json", {"content": "x", "eos_token": [[]]}),
    ],
)
def test_files_with_other_types_are_named(
    file: Path, tmp_path: Path, file_name: str, stated: Any
) -> None:
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / file_name).write_text(json.dumps(stated))
    with pytest.raises(ModelFileError, match=rf"{file_name}: .*expected"):
        CodeLlamaTokenizer.from_pretrained(tmp_path)


def test_a_chat_template_that_is_no_text(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    for load in (CodeLlamaTokenizer.from_pretrained, Tokenizer.from_path):
        with pytest.raises(ModelFileError, match=r"chat_template\.jinja: expected readable UTF-8"):
            load(tmp_path)


def test_gguf_files(vocabularies: Any, file: Path, model: Any, tmp_path: Path, same: Same) -> None:
    """Also ones in which a converter made control tokens of the markers."""
    expected = CodeLlamaTokenizer.from_pretrained(file)
    changed = type(model)()
    changed.CopyFrom(model)
    for piece in changed.pieces:
        if piece.piece in ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"):
            piece.type, piece.score = 3, -1000.0

    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, changed)
        writer.add_chat_template("{{ messages }}")
        writer.add_pad_token_id(0)

    path = vocabularies.write_gguf(tmp_path / "markers.gguf", fill)
    plain = CodeLlamaTokenizer.from_pretrained(
        vocabularies.write_sentencepiece(tmp_path / "plain.gguf", model)
    )
    same(expected, plain)
    tokenizer = CodeLlamaTokenizer.from_pretrained(path)
    assert (tokenizer.pad_token, tokenizer.chat_template) == ("<unk>", "{{ messages }}")
    over = CodeLlamaTokenizer.from_pretrained(path, pad_token="</s>", chat_template="mine")
    assert (over.pad_token, over.chat_template) == ("</s>", "mine")
    tokenizer.pad_token, tokenizer.chat_template = None, None
    same(expected, tokenizer)
    tokenizer.save_pretrained(tmp_path / "saved")
    same(expected, CodeLlamaTokenizer.from_pretrained(tmp_path / "saved"))


def test_names_of_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    tokenizer = CodeLlamaTokenizer.from_pretrained("infill-10m")
    assert tokenizer.prefix_id == 8007 and tokenizer.name_or_path == "infill-10m"
    with pytest.raises(DownloadError, match="halfbyte pull codellama-7b"):
        CodeLlamaTokenizer.from_pretrained("codellama-7b", local_files_only=True)


def test_copies(unusual: CodeLlamaTokenizer, same: Same) -> None:
    same(unusual, pickle.loads(pickle.dumps(unusual)))
    other = copy.deepcopy(unusual)
    same(unusual, other)
    other.add_tokens(["<later>"])
    assert len(other) == len(unusual) + 1


def test_representation(tokenizer: CodeLlamaTokenizer) -> None:
    text = repr(tokenizer)
    assert text.startswith("CodeLlamaTokenizer(name_or_path='', vocab_size=")
    assert re.search(r"is_fast=True.*padding_side='right'.*'bos_token': '<s>'", text)
    assert tokenizer.is_fast is True and tokenizer.model_max_length == int(1e30)
