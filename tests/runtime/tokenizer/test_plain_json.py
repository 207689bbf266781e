"""A tokenizer.json of Gemma 4's kind: the package's own ids, and types as llama.cpp has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.converting.gguf_keys import add_vocabulary
from halfbyte.errors import ConversionError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.files import read_vocabulary
from tests.runtime.tokenizer.test_plain_bpe import trained

SPECIAL = ["<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>", "<|tool_call>", "<|tool_response>"]
TEXTS = st.text("ab  <e▁\n\n1é日<h1>", max_size=40)


@pytest.fixture
def made(tmp_path: Path, vocabularies: Any) -> tuple[Path, HFTokenizer]:
    """A folder, and the package's own reader of it."""
    pieces, merges = trained(vocabularies.SOURCE)
    bytes_, added = [f"<0x{i:02X}>" for i in range(256)], ["<h1>", "\n\n"]
    names = dict.fromkeys([*SPECIAL, "<unk>", "<h1>", "</s>", *bytes_, *pieces])
    vocab = {piece: i for i, piece in enumerate(names)}
    model = models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    tokenizer = HFTokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in added])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path, tokenizer


def test_ids_are_the_packages(made: tuple[Path, HFTokenizer]) -> None:
    folder, theirs = made
    ours = Tokenizer(read_vocabulary(folder))
    assert ours.vocabulary.pre == "gemma4" and ours.add_bos

    @settings(max_examples=150, deadline=None)
    @given(TEXTS | st.text(max_size=20))
    def check(text: str) -> None:
        ids = ours.encode(text, add_bos=False)
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert ours.decode(ids) == text.replace("▁", " ")

    check()


def test_types_ends_and_the_file(made: tuple[Path, HFTokenizer], tmp_path: Path) -> None:
    folder, _ = made
    vocabulary = read_vocabulary(folder)
    out = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(out, "gemma4")
    add_vocabulary(writer, vocabulary)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(out) as file:
        assert file.metadata.get_str("tokenizer.ggml.model") == "gemma4"
        tokenizer = Tokenizer.from_gguf(file)
    for one in (Tokenizer(vocabulary), tokenizer):
        types = dict(zip(one.vocabulary.pieces, one.vocabulary.types, strict=True))
        assert [types[piece.encode()] for piece in SPECIAL] == [3, 3, 3, 3, 3, 4, 4]
        # The last one follows calls; a tag of HTML ends nothing here.
        ends = {one.id_of(piece) for piece in ("<eos>", "<turn|>", "<|tool_response>")}
        assert one.eog_ids == ends
        assert one.encode("a<h1>", add_bos=False)[-1] == one.id_of("<h1>")
        marker = one.id_of("<|tool_call>")
        assert marker not in one.encode("a<|tool_call>b")  # what a user wrote is text
        assert marker in one.encode("a<|tool_call>b", parse_markers=True)


def test_merges_across_lines_are_refused(made: tuple[Path, HFTokenizer]) -> None:
    folder, _ = made
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["vocab"]["a\n"] = len(data["model"]["vocab"])
    data["model"]["merges"].append(["a", "\n"])
    path.write_text(json.dumps(data))
    with pytest.raises(ConversionError, match="merges within a line"):
        read_vocabulary(folder)
