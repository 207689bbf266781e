"""Tokenizer files to GGUF and back to ids: the same ids as the original tokenizer gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import (
    AddedToken,
    Regex,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.conversion import convert
from halfbyte.errors import ConversionError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.pretokenizers import pre_tokenizer_name

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: dict[str, Callable[[], Any]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    ),
    "llama-bpe": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "qwen2": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}
TEXTS = [
    "def f(x1, y23456):\n    return x1\n",
    "It's 12345 o'clock,\tDON'T!\r\n\r\n  ok",
    "naïve 🎉 日本語",
]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "hf"))


def load(path: Path) -> Tokenizer:
    with GGUFFile.open(path) as file:
        return Tokenizer.from_gguf(file)


def use_byte_level(folder: Path, split: Any) -> HFTokenizer:
    """Replace a folder's tokenizer by a byte-level BPE one of at most 300 tokens."""
    (folder / "tokenizer.model").unlink()
    tokenizer = HFTokenizer(models.BPE())
    tokenizer.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=298,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer


@pytest.mark.parametrize("name", SPLITS)
def test_byte_level_vocabularies_keep_their_ids(folder: Path, tmp_path: Path, name: str) -> None:
    theirs = use_byte_level(folder, SPLITS[name]())
    convert(folder, tmp_path / "out.gguf", type="f16")
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == name
    assert fields["tokenizer.ggml.token_type"].contents()[:3] == [3, 3, 1]
    assert fields["tokenizer.ggml.token_type"].contents()[-1] == 5  # the padding to 300 rows
    ours = load(tmp_path / "out.gguf")
    assert (ours.bos_id, ours.eos_id) == (0, 1)
    for text in TEXTS:
        assert ours.encode(text, add_bos=False) == theirs.encode(text, add_special_tokens=False).ids


def test_what_only_halfbyte_reads_is_said_and_stays(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Through GGUF, and through GGUF made of that."""
    theirs = use_byte_level(folder, SPLITS["gpt-2"]())
    theirs.normalizer = normalizers.NFC()
    theirs.add_tokens([AddedToken("<x>", rstrip=True)])
    theirs.save(str(folder / "tokenizer.json"))
    convert(folder, tmp_path / "a.gguf", type="f32", measure=False)
    assert "other programs do not heed: added tokens' rstrip, the normalizer" in caplog.text
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", measure=False)
    text = "cafe\u0301 <x>\n y"
    for name in ("a.gguf", "b.gguf"):
        made = load(tmp_path / name)
        assert made.encode(text, add_bos=False) == theirs.encode(text).ids
        assert made.decode(made.encode("cafe\u0301", add_bos=False)) == "café"


@pytest.mark.parametrize("setting", [None, False, True])
@pytest.mark.parametrize("name", ["qwen2", "llama-bpe"])
def test_what_tokenizer_json_puts_before_a_text_is_kept(
    folder: Path, tmp_path: Path, name: str, setting: bool | None
) -> None:
    """Llama 3's tokenizer_config.json does not say that a prompt begins with BOS."""
    theirs = use_byte_level(folder, SPLITS[name]())
    begin = ("<|begin|>", theirs.token_to_id("<|begin|>"))
    template = processors.TemplateProcessing("<|begin|> $A", "$A $B", [begin])
    theirs.post_processor = processors.Sequence([processors.ByteLevel(), template])
    theirs.save(str(folder / "tokenizer.json"))
    if setting is not None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": setting}))
    convert(folder, tmp_path / "out.gguf", measure=False)
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert fields["tokenizer.ggml.add_bos_token"].contents() is (setting is not False)
    expected = theirs.encode("x = 1", add_special_tokens=setting is not False).ids
    assert load(tmp_path / "out.gguf").encode("x = 1") == expected


@pytest.mark.parametrize(("name", "begins"), [("qwen2", False), ("llama-bpe", True)])
def test_files_that_do_not_say_follow_their_pre_tokenizer(
    folder: Path, tmp_path: Path, name: str, begins: bool
) -> None:
    use_byte_level(folder, SPLITS[name]())
    convert(folder, tmp_path / "out.gguf", measure=False)
    assert "tokenizer.ggml.add_bos_token" not in gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert (load(tmp_path / "out.gguf").encode("x")[0] == 0) is begins


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True},
        {"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Isolated"},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"},
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Removed"},
        {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}]},
    ],
)
def test_other_ways_to_cut_text_are_refused(spec: object) -> None:
    with pytest.raises(ConversionError, match="pre_tokenizer"):
        pre_tokenizer_name(Path("tokenizer.json"), spec)


def test_infilling_and_added_tokens_are_found_by_their_text(folder: Path, tmp_path: Path) -> None:
    model = spm.ModelProto()
    model.ParseFromString((folder / "tokenizer.model").read_bytes())
    for i, piece in enumerate(("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")):
        model.pieces[290 + i].piece = piece
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    (folder / "added_tokens.json").write_text(json.dumps({"<step>": 299}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    convert(folder, tmp_path / "out.gguf")
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    names = ("fim_pre", "fim_suf", "fim_mid", "eot")
    ids = [fields[f"tokenizer.ggml.{name}_token_id"].contents() for name in names]
    assert ids == [290, 291, 292, 293]
    assert fields["tokenizer.ggml.tokens"].contents()[299] == "<step>"
    assert fields["tokenizer.ggml.token_type"].contents()[299] == 3
    assert fields["tokenizer.chat_template"].contents() == "{{ messages }}"


def test_no_tokenizer_or_a_broken_one(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"\xff\xff not protobuf")
    with pytest.raises(ConversionError, match="sentencepiece"):
        convert(folder, tmp_path / "out.gguf")
    (folder / "tokenizer.model").unlink()
    with pytest.raises(ConversionError, match="neither"):
        convert(folder, tmp_path / "out.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": {"merges": 5}}, "merges"),
        ({"model": {"merges": [5]}}, "merges"),
        ({"model": {"merges": [["a"]]}}, "merges"),
        ({"model": {"merges": [["a", 1]]}}, "merges"),
        ({"model": {"merges": ["a \ud800"]}}, "merges.*surrogates"),
        ({"model": {"vocab": {"a": 0, "\ud800": 1}}}, "vocab.*surrogates"),
        ({"model": {"vocab": [["a", 0]]}}, "vocab"),
        ({"model": {"vocab": {"a": True}}}, "gaps"),
        ({"added_tokens": [{"id": 1, "content": "\ud800"}]}, "added token.*surrogates"),
        ({"added_tokens": [{"id": -1, "content": "b"}]}, r"added_tokens\[0\]: id: .*got -1"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": 5}}, "list of steps"),
    ],
)
def test_a_broken_tokenizer_json(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    data: dict[str, Any] = {
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []} | changes.get("model", {}),
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    }
    data |= {name: value for name, value in changes.items() if name != "model"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ConversionError, match=reason):
        Tokenizer.from_path(tmp_path)


def test_sentencepiece_in_a_tokenizer_json_asks_for_the_model(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.model").unlink()
    data = {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a": 0}, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ConversionError, match=r"tokenizer\.model"):
        convert(folder, tmp_path / "out.gguf")


def test_every_token_that_ends_an_answer_is_kept(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Through GGUF, and through GGUF made of that."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    plain = Tokenizer.from_path(folder)
    assert plain.eos_id is not None
    one, two, three = 270, 280, 290
    config = json.loads((folder / "config.json").read_text())
    config["eos_token_id"] = [plain.eos_id, one, 10**6]
    (folder / "config.json").write_text(json.dumps(config))
    ends = {"eos_token_id": [two, plain.eos_id, three]}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    wanted = plain.eog_ids | {one, two, three}
    assert Tokenizer.from_path(folder).eog_ids == wanted
    assert "eos_token_id 1000000 is no token" in caplog.text
    convert(folder, tmp_path / "a.gguf", type="f32", measure=False)
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", measure=False)
    for name in ("a.gguf", "b.gguf"):
        made = Tokenizer.from_path(tmp_path / name)
        assert (made.eog_ids, made.eos_id) == (wanted, plain.eos_id)
    # Programs that know no list know one more.
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.fields["tokenizer.ggml.eot_token_id"].contents() == two
