"""A tokenizer.json of Gemma 1 to 3's kind alone: the package's own ids, and those of its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.converting.gguf_keys import add_vocabulary
from halfbyte.errors import ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.files import read_vocabulary

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
TURNS = ["<start_of_turn>", "<end_of_turn>"]
RUNS = [one * n for one, most in (("\n", 5), ("▁", 9), ("\t", 3)) for n in range(2, most + 1)]
TAGS = ["<b>", "</b>", "<table>"]
LONGEST = 24  # of a text that is drawn
TEXTS = st.text("ab  <>/\n\tdef1é日▁", max_size=LONGEST) | st.lists(
    st.sampled_from([*TAGS, *TURNS, " " * 4, " " * 10, " " * 21, "\n" * 3, "\n" * 7, "\t\t\t\t",
                     "def f(x):", "return", "<", "b>", "\u2603", "x"]),
    max_size=8,
).map("".join)  # fmt: skip


def trained(folder: Path, source: str) -> Any:
    """A sentencepiece model with Gemma's settings."""
    (folder / "text").write_text(source * 2, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=640,
        model_type="bpe", byte_fallback=True, split_digits=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", allow_whitespace_only_pieces=True,
        add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
        eos_piece="<eos>", bos_piece="<bos>", control_symbols=TURNS,
        user_defined_symbols=["\n", *RUNS, *TAGS], minloglevel=2,
    )  # fmt: skip
    return folder / "m.model"


def merges_of(vocab: dict[str, int], scores: dict[str, float]) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece: by its score, then by the lengths of both, all of
    them falling; so transformers' GemmaConverter has it.
    """
    pairs = [
        (scores[piece], i, len(piece) - i, piece)
        for piece in vocab
        for i in range(1, len(piece))
        if piece[:i] in vocab and piece[i:] in vocab
    ]
    ordered = sorted(pairs, key=lambda pair: pair[:3], reverse=True)
    return [(piece[:i], piece[i:]) for _, i, _, piece in ordered]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, vocabularies: Any) -> Path:
    path: Path = trained(tmp_path_factory.mktemp("gemma"), vocabularies.SOURCE)
    return path


@pytest.fixture(scope="module")
def folder(model: Path, vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Gemma is published with, but for tokenizer.model."""
    out, proto = tmp_path_factory.mktemp("json"), vocabularies.read_model(model)
    scores = {"\t" if p.piece == "<0x09>" else p.piece: p.score for p in proto.pieces}
    scores["\t"] = 0.0
    vocab = {piece: i for i, piece in enumerate(scores)}
    bpe = models.BPE(
        vocab, merges_of(vocab, scores), byte_fallback=True, unk_token="<unk>", fuse_unk=True
    )
    tokenizer = HFTokenizer(bpe)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([*SPECIAL, *TURNS])
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in ["\n", *RUNS, *TAGS]])
    tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", None, [("<bos>", 2)])
    tokenizer.save(str(out / "tokenizer.json"))
    config = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (out / "tokenizer_config.json").write_text(json.dumps(config))
    return out


def test_ids_are_the_packages(folder: Path) -> None:
    ours, theirs = (
        Tokenizer(read_vocabulary(folder)),
        HFTokenizer.from_file(str(folder / "tokenizer.json")),
    )
    assert ours.vocabulary.model == "llama" and ours.add_bos and not ours.adds_space

    @settings(max_examples=400, deadline=None)
    @given(TEXTS | st.text(max_size=20))
    @example(" " * 33 + "x" + "\n" * 12 + "\t" * 7 + "\t}")
    def check(text: str) -> None:
        ids = ours.encode_rendered(text)
        assert [2, *ids] == theirs.encode(text).ids
        shown = text.replace("▁", " ")
        for turn in TURNS:
            shown = shown.replace(turn, "")
        assert ours.decode(ids) == shown

    check()


def test_ids_are_the_models(folder: Path, model: Path) -> None:
    """Where no space is a ▁ of the text, and no tab stands in a run."""
    ours, theirs = Tokenizer(read_vocabulary(folder)), SentencePieceProcessor(model_file=str(model))

    @settings(max_examples=200, deadline=None)
    @given(st.text("ab  <>/\n\tdef1é日", max_size=LONGEST))
    def check(text: str) -> None:
        assert ours.encode(text, add_bos=False) == theirs.encode(text)

    check()


def test_the_same_of_the_file_that_is_made(folder: Path, tmp_path: Path) -> None:
    vocabulary = read_vocabulary(folder)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "gemma3")
    add_vocabulary(writer, vocabulary)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        assert file.metadata.get_str("tokenizer.ggml.model") == "llama"
        again = Tokenizer.from_gguf(file)
    one = Tokenizer(vocabulary)
    assert one.id_of("<0x09>") is not None
    for text in ("  a\n\n\n\tb", " " * 20 + "<b>x</b>", "<start_of_turn>", "日\u2603"):
        for parses in (True, False):
            assert one.encode(text, parse_markers=parses) == again.encode(
                text, parse_markers=parses
            )


@pytest.mark.parametrize("change", ["a run begun first", "a run without a shorter one", "one late"])
def test_runs_that_equal_scores_would_not_make(change: str, folder: Path, tmp_path: Path) -> None:
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    merges: list[list[str]] = data["model"]["merges"]
    if change == "a run begun first":
        merges.insert(0, merges.pop(merges.index(["▁", "▁"])))
    elif change == "one late":
        merges.append(merges.pop(merges.index(["▁▁", "▁"])))
    else:
        vocab, short = data["model"]["vocab"], "▁" * 5
        data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] != short]
        vocab["other"] = vocab.pop(short)
        data["model"]["merges"] = [m for m in merges if short not in (*m, "".join(m))]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(ModelFileError, match="<0x00> to <0xFF>"):  # by rank, without a tab's byte
        Tokenizer(read_vocabulary(tmp_path))
