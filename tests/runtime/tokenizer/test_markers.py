"""Which pieces are markers, and that no text of a user becomes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.markers import CODE_LLAMA, marker_ids
from halfbyte.tokenizer.vocabulary import SPECIAL_KEYS

QWEN = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>")
DEEPSEEK = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜begin▁of▁sentence｜>")
STARCODER = (
    *("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"),
    *("<file_sep>", "<filename>", "<repo_name>", "<reponame>"),
)
MISTRAL = ("[PREFIX]", "[SUFFIX]", "[MIDDLE]", "[INST]", "[/INST]")
TEXT = ("<", "<|", "|>", "<|>", "<html>", "<fim", "fim_prefix", "[0]", "[]", "[inst]", "[TODO]", "")


def vocabulary(*pieces: str, **special: int) -> Vocabulary:
    return Vocabulary(
        path="test",
        model="gpt2",
        pieces=[piece.encode() for piece in pieces],
        types=[1] * len(pieces),
        scores=[],
        special=special,
    )


@pytest.mark.parametrize("pieces", [QWEN, DEEPSEEK, STARCODER, MISTRAL])
def test_markers_are_known_by_their_spelling(pieces: tuple[str, ...]) -> None:
    assert marker_ids(vocabulary(*TEXT, *pieces)) == set(range(len(TEXT), len(TEXT) + len(pieces)))


def test_what_only_looks_alike_is_text() -> None:
    assert marker_ids(vocabulary(*TEXT, "a<|x|>", "<|x|>b", " [INST]", "▁<EOT>", "▁<M")) == set()


def test_code_llamas_pieces_are_markers_where_all_are_there() -> None:
    assert len(CODE_LLAMA) == 16
    assert marker_ids(vocabulary("x", *CODE_LLAMA)) == set(range(1, 17))
    # "▁<M" is a word like any other where there is no infilling.
    without = [piece for piece in CODE_LLAMA if piece != "▁<PRE>"]
    assert marker_ids(vocabulary("x", *without)) == set()


@pytest.mark.parametrize("role", sorted(set(SPECIAL_KEYS) - {"unk", "pad"}))
def test_what_a_file_names_is_a_marker(role: str) -> None:
    assert marker_ids(vocabulary("a", "b", "c", **{role: 1})) == {1}


def test_padding_and_unknown_are_no_markers() -> None:
    assert marker_ids(vocabulary("a", "b", unk=0, pad=1)) == set()


def test_pieces_that_are_no_utf_8_are_no_markers() -> None:
    pieces = Vocabulary("test", "gpt2", [b"<|\xff|>", b"[\xff"], [1, 1], [])
    assert marker_ids(pieces) == {0}


@pytest.mark.parametrize("special_type", [1, 3, 4, 5])
@pytest.mark.parametrize("pre", ["qwen2", "smollm", "llama-bpe"])
def test_byte_level_text_never_becomes_a_marker(
    tmp_path: Path, vocabularies: Any, pre: str, special_type: int
) -> None:
    """Whatever the type that a converter gave them; `theirs` has never heard of them."""
    specials = (*QWEN, *STARCODER, *MISTRAL)
    made = vocabularies.train_byte_level(pre, specials)
    ours = Tokenizer.from_path(made.write(tmp_path / "m.gguf", special_type=special_type))
    deaf, hearing = made.tokenizer(parses=False), made.tokenizer(parses=True)
    assert ours.marker_ids == {made.id_of(text) for text in specials}

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from(specials) | st.text("<|[] aé\n_fim", max_size=4), max_size=6))
    def check(parts: list[str]) -> None:
        text = "".join(parts)
        ids = ours.encode(text)
        assert ids == ours.encode_fragment(text) == deaf.encode(text).ids
        assert not ours.marker_ids.intersection(ids)
        assert ours.decode(ids) == text
        if special_type in (3, 4):  # others have no text of their own
            meant = ours.encode(text, parse_markers=True)
            assert meant == hearing.encode(text, add_special_tokens=False).ids

    check()


@pytest.mark.parametrize("special_type", [1, 3, 4, 5])
def test_sentencepiece_text_never_becomes_a_marker(
    trained: Path, tmp_path: Path, vocabularies: Any, special_type: int
) -> None:
    model = vocabularies.read_model(trained)
    known = {piece.piece for piece in model.pieces}
    n = len(known)
    # The pieces that merging "[INST]" needs, and the marker itself.
    steps = [text for text in ("[", "]", "I", "N", "S", "T", "[I", "[IN", "[INS", "[INST")]
    for text in (s for s in steps if s not in known):
        model.pieces.add(piece=text, score=-1.0, type=1)
    for text in ("[INST]", "[PREFIX]"):
        model.pieces.add(piece=text, score=-0.5, type=special_type)
    model.trainer_spec.vocab_size = len(model.pieces)
    path = vocabularies.write_sentencepiece(tmp_path / "m.gguf", model)
    ours = Tokenizer.from_path(path)
    markers = {len(model.pieces) - 2, len(model.pieces) - 1}
    assert n < min(markers) and ours.marker_ids == {1, 2, *markers}
    deaf = vocabularies.processor(model, dummy_prefix=True, without=("[INST]", "[PREFIX]"))
    theirs = vocabularies.processor(model, dummy_prefix=True)
    for text in ("[INST] x [/INST]", "a[INST][INST]", "[PREFIX]", " [INS T]", "[INST"):
        ids = ours.encode(text, add_bos=False)
        assert ids == deaf.encode(text) and not markers.intersection(ids)
        assert ours.decode(ids) == text
        assert ours.encode(text, add_bos=False, parse_markers=True) == theirs.encode(text)


def test_user_defined_pieces_that_steer_nothing_stay_text(
    tmp_path: Path, vocabularies: Any
) -> None:
    made = vocabularies.train_byte_level("gpt-2", ("    ", "<html>", "<|fim_prefix|>"))
    ours = Tokenizer.from_path(made.write(tmp_path / "m.gguf", special_type=4))
    ids = ours.encode("a    <html><|fim_prefix|>")
    assert made.id_of("    ") in ids and made.id_of("<html>") in ids
    assert made.id_of("<|fim_prefix|>") not in ids
    assert ours.decode(ids) == "a    <html><|fim_prefix|>"


@pytest.mark.parametrize("role", ["bos", "eos", "eot", "fim_pre"])
@pytest.mark.parametrize("token", [0, 13, 300])
def test_odd_roles_do_not_break_a_sentencepiece_vocabulary(
    trained: Path, tmp_path: Path, vocabularies: Any, role: str, token: int
) -> None:
    """Files exist that name the unknown token, a byte or a plain piece as one that steers."""
    model = vocabularies.read_model(trained)
    names = [(name, i) for name, i in (("bos", 1), ("eos", 2)) if name != role]

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list([p.piece.encode() for p in model.pieces])
        writer.add_token_scores([p.score for p in model.pieces])
        writer.add_token_types([p.type for p in model.pieces])
        for name, i in [*names, (role, token)]:
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", i)

    ours = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    theirs = vocabularies.processor(model, dummy_prefix=True)
    assert ours.vocabulary.special[role] == token
    for parse_markers in (False, True):
        ids = ours.encode("return x\n", add_bos=False, parse_markers=parse_markers)
        assert ours.decode(ids) == "return x\n"
    assert ids == theirs.encode("return x\n")
