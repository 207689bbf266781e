"""Vocabulary: the tokenizer keys of a GGUF file, as other converters write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte.errors import ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.vocabulary import CONTROL, NORMAL, UNKNOWN

N = 10
OPTIONAL = {
    "unk": ("unknown",),
    "pad": ("padding",),
    "eot": ("eot",),
    "eom": ("eom",),
    "fim_pre": ("fim_pre", "prefix"),
    "fim_suf": ("fim_suf", "suffix"),
    "fim_mid": ("fim_mid", "middle"),
    "fim_pad": ("fim_pad",),
    "fim_rep": ("fim_rep",),
    "fim_sep": ("fim_sep",),
}
Fill = Callable[[gguf.GGUFWriter], object]


@pytest.fixture
def read(tmp_path: Path, vocabularies: Any) -> Callable[..., Vocabulary]:
    """Reads what a file says that has ten pieces and the given keys."""

    def read(*fills: Fill, n: int = N, model: str = "llama", **ids: int) -> Vocabulary:
        def fill(writer: gguf.GGUFWriter) -> None:
            writer.add_tokenizer_model(model)
            writer.add_token_list([f"p{i}".encode() for i in range(n)])
            for name, token in ids.items():
                add = writer.add_int32 if token < 0 else writer.add_uint32
                add(f"tokenizer.ggml.{name}_token_id", token)
            for more in fills:
                more(writer)

        path = vocabularies.write_gguf(tmp_path / "v.gguf", fill)
        with GGUFFile.open(path, strict_types=False) as file:
            return Vocabulary.from_metadata(file.metadata)

    return read


def test_what_a_file_leaves_out(read: Callable[..., Vocabulary]) -> None:
    v = read()
    assert v.pieces == [f"p{i}".encode() for i in range(N)] and v.types == [1] * N
    assert (v.model, v.pre, v.add_space_prefix, v.add_bos) == ("llama", "default", True, None)
    assert (v.scores, v.merges, v.special, v.chat_template) == ([], [], {}, None)


def test_what_a_file_states(read: Callable[..., Vocabulary]) -> None:
    v = read(
        lambda w: w.add_token_types([2, 3, 3, 4, 5, 6, 1, 1, 1, 1]),
        lambda w: w.add_token_scores([0.5 * i for i in range(N)]),
        lambda w: w.add_add_bos_token(False),
        lambda w: w.add_add_space_prefix(False),
        lambda w: w.add_chat_template("{{ x }}"),
        lambda w: w.add_tokenizer_pre("qwen2"),
        lambda w: w.add_token_merges(["a b"]),
    )
    assert v.types == [2, 3, 3, 4, 5, 6, 1, 1, 1, 1]
    assert v.scores == [0.5 * i for i in range(N)]
    assert (v.pre, v.add_space_prefix, v.add_bos) == ("qwen2", False, False)
    assert (v.chat_template, v.merges) == ("{{ x }}", [])  # merges are byte-level vocabularies'
    assert read(lambda w: w.add_token_merges(["a b"]), model="gpt2").merges == [b"a b"]


@pytest.mark.parametrize("role", OPTIONAL)
def test_special_ids_under_their_names(role: str, read: Callable[..., Vocabulary]) -> None:
    for name in OPTIONAL[role]:
        assert read(**{name: 7}).special == {role: 7}
        assert read(**{name: 0}).special == {role: 0}
        assert read(**{name: N - 1}).special == {role: N - 1}


@pytest.mark.parametrize(("new", "old"), [v for v in OPTIONAL.values() if len(v) == 2])
def test_the_current_name_goes_before_the_old_one(
    read: Callable[..., Vocabulary], new: str, old: str, caplog: pytest.LogCaptureFixture
) -> None:
    for ids in ({new: 4, old: 5}, {old: 5, new: 4}):
        assert read(**ids).special == {new: 4}
    assert not caplog.records
    assert read(**{new: N, old: 5}).special == {new: 5}


@pytest.mark.parametrize("token", [N, 2**32 - 1, -1, -(2**31)])
@pytest.mark.parametrize("role", OPTIONAL)
def test_ids_beyond_the_vocabulary_are_not_used(
    role: str, token: int, read: Callable[..., Vocabulary], caplog: pytest.LogCaptureFixture
) -> None:
    name = OPTIONAL[role][-1]
    assert read(**{name: token}).special == {}
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{name}_token_id is {token}, beyond the vocabulary" in record.getMessage()


@pytest.mark.parametrize("token", [2**32 - 1, -1])
@pytest.mark.parametrize("role", ["bos", "eos"])
def test_files_may_say_that_there_is_no_bos_or_eos(
    role: str, token: int, read: Callable[..., Vocabulary], caplog: pytest.LogCaptureFixture
) -> None:
    types = [UNKNOWN, CONTROL, CONTROL, *[NORMAL] * (N - 3)]
    usual = {"unk": 0, "bos": 1, "eos": 2}
    found = read(lambda w: w.add_token_types(types), **{role: token}).special
    assert found == {name: i for name, i in usual.items() if name != role}
    assert f"{role}_token_id is {token}" in caplog.text


@pytest.mark.parametrize(
    ("model", "types", "expected"),
    [
        ("llama", [UNKNOWN, CONTROL, CONTROL], {"unk": 0, "bos": 1, "eos": 2}),
        ("llama", [CONTROL, CONTROL, NORMAL], {"bos": 1}),
        ("gpt2", [UNKNOWN, CONTROL, CONTROL], {}),
    ],
)
def test_sentencepieces_usual_ids_where_a_file_states_none(
    model: str, types: list[int], expected: dict[str, int], read: Callable[..., Vocabulary]
) -> None:
    def fill(w: gguf.GGUFWriter) -> None:
        w.add_token_types([*types, *[NORMAL] * (N - 3)])
        w.add_token_merges(["p p"])

    assert read(fill, model=model).special == expected


@pytest.mark.parametrize("token", [N, -2])
@pytest.mark.parametrize("role", ["bos", "eos"])
def test_bos_and_eos_must_exist(role: str, token: int, read: Callable[..., Vocabulary]) -> None:
    assert read(**{role: N - 1}).special == {role: N - 1}
    with pytest.raises(ModelFileError) as caught:
        read(**{role: token})
    assert caught.value.field == f"tokenizer.ggml.{role}_token_id"


@pytest.mark.parametrize("role", ["bos", "eot"])
def test_ids_of_another_type_are_an_error(role: str, read: Callable[..., Vocabulary]) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(lambda w: w.add_string(f"tokenizer.ggml.{role}_token_id", "2"))
    assert caught.value.field == f"tokenizer.ggml.{role}_token_id"


@pytest.mark.parametrize(
    ("fill", "field"),
    [
        (lambda w: w.add_token_types([1, 2]), "token_type"),
        (lambda w: w.add_token_types([9] * N), "token_type"),
        (lambda w: w.add_token_types([0] * N), "token_type"),
        (lambda w: w.add_array("tokenizer.ggml.scores", [1.0]), "scores"),
        (lambda w: w.add_token_scores([float("nan")] * N), "scores"),
        (lambda w: w.add_token_scores([float("inf")] * N), "scores"),
        (lambda w: w.add_array("tokenizer.ggml.scores", ["a"] * N), "scores"),
        (lambda w: w.add_bool("tokenizer.ggml.pre", True), "pre"),
        (lambda w: w.add_uint32("tokenizer.ggml.add_bos_token", 1), "add_bos_token"),
        (lambda w: w.add_uint32("tokenizer.chat_template", 1), "chat_template"),
    ],
)
def test_values_that_cannot_be_name_the_key(
    read: Callable[..., Vocabulary], fill: Fill, field: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(fill)
    assert caught.value.field.rpartition(".")[2] == field


@pytest.mark.parametrize(
    ("fill", "field"),
    [
        (lambda w: w.add_tokenizer_model("llama"), "tokens"),
        (lambda w: w.add_token_list([b"a"]), "model"),
        (lambda w: (w.add_token_list([b"a"]), w.add_tokenizer_model("gpt2")), "merges"),
    ],
)
def test_keys_that_must_be_there(tmp_path: Path, vocabularies: Any, fill: Fill, field: str) -> None:
    path = vocabularies.write_gguf(tmp_path / "v.gguf", fill)
    with GGUFFile.open(path) as file, pytest.raises(ModelFileError) as caught:
        Vocabulary.from_metadata(file.metadata)
    assert caught.value.field == f"tokenizer.ggml.{field}"
