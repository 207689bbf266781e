"""Infilling prompts for Code Llama's vocabularies: sentencepiece encodes the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import RequestError, TokenizerError, UnsupportedModelError
from halfbyte.prompt.infill import (
    LONG_SUFFIX,
    InfillFormat,
    Repository,
    choose_order,
    find_format,
    require_format,
    split_marker,
)
from halfbyte.tokenizer import Tokenizer

PRE, SUF, MID, EOT = 8007, 8008, 8009, 8010  # infill-10m's
N_TEXT = 8000
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["", "def f(x):\n    retu", "  x", "\n", "a b\n\nc", "☺", "日本", "▁", "<FILL_ME>"]
)


@settings(max_examples=150)
@given(TEXTS, TEXTS)
def test_code_llamas_layouts(
    code_llama: InfillFormat, theirs: Any, prefix: str, suffix: str
) -> None:
    p, s = theirs.start(prefix) if prefix else [], theirs.inside(suffix)
    psm = code_llama.prompt(prefix, suffix, order="psm")
    assert psm.tokens == [1, PRE, *p, SUF, *s, MID]
    spm = code_llama.prompt(prefix, suffix, order="spm")
    assert spm.tokens == [1, PRE, SUF, *s, MID, *p]
    assert (psm.order, spm.order, psm.taken_back, spm.taken_back) == ("psm", "spm", (), ())


def test_empty_parts_keep_the_markers(code_llama: InfillFormat, theirs: Any) -> None:
    x = theirs.start("x = 1")
    fragment = theirs.inside("x = 1")
    for prefix, suffix, psm, spm in (
        ("", "", [1, PRE, SUF, MID], [1, PRE, SUF, MID]),
        ("x = 1", "", [1, PRE, *x, SUF, MID], [1, PRE, SUF, MID, *x]),
        ("", "x = 1", [1, PRE, SUF, *fragment, MID], [1, PRE, SUF, *fragment, MID]),
    ):
        for heal in (False, True):  # "1" is the beginning of no other piece
            assert code_llama.prompt(prefix, suffix, order="psm", heal=heal).tokens == psm
            assert code_llama.prompt(prefix, suffix, order="spm", heal=heal).tokens == spm


def test_code_llamas_ends_are_eot_and_eos(code_llama: InfillFormat, vocabularies: Any) -> None:
    assert code_llama.stop_ids == {EOT}
    assert Tokenizer.from_path(vocabularies.PACKAGED).eog_ids == {2, EOT}


SPELLINGS = (
    *("<PRE>", " <SUF>", " <MID>", " <EOT>", " <EOT><EOT>", "<s>", "</s>", "<unk>", "▁<PRE>"),
    *("<|fim_prefix|>", "<|endoftext|>", "<fim_middle>", "<｜fim▁hole｜>", "[SUFFIX]", "[INST]"),
)


@settings(max_examples=60)
@given(*[st.lists(st.sampled_from((*SPELLINGS, "a", "\n")), max_size=4).map("".join)] * 3)
def test_what_users_write_is_no_marker(
    code_llama: InfillFormat, theirs: Any, prefix: str, suffix: str, other: str
) -> None:
    tokens = code_llama.prompt(prefix, suffix, order="psm").tokens
    p, s = theirs.start(prefix) if prefix else [], theirs.inside(suffix)
    assert tokens == [1, PRE, *p, SUF, *s, MID]
    repository = Repository(files={other or "x": other}, current=other, name=other)
    for order in ("psm", "spm"):
        tokens = code_llama.prompt(prefix, suffix, order=order, repository=repository).tokens
        steering = [i for i in tokens if i < 3 or i >= N_TEXT]
        assert steering == [1, PRE, SUF, MID]


def test_markers_can_be_meant(code_llama: InfillFormat) -> None:
    tokens = code_llama.prompt("a <EOT>", " <PRE>", order="psm", parse_markers=True).tokens
    assert [i for i in tokens if i >= N_TEXT] == [PRE, EOT, SUF, PRE, MID]


@pytest.mark.parametrize(
    ("prefix", "order"),
    [
        ("", "psm"), ("x\n", "psm"), ("x\n    ", "psm"), ("x\n\t ", "psm"), ("   ", "psm"),
        ("x", "spm"), ("x\n  y", "spm"), ("x\n  y ", "spm"), ("def f(", "spm"), ("\nx", "spm"),
        ("x\r\n", "psm"),
    ],
)  # fmt: skip
def test_auto_is_suffix_first_where_a_line_has_begun(
    code_llama: InfillFormat, prefix: str, order: str
) -> None:
    assert choose_order(prefix) == order
    assert choose_order(prefix, "x" * LONG_SUFFIX) == "spm"
    prompt = code_llama.prompt(prefix, "y\n")
    assert prompt.order == order
    assert prompt.tokens == code_llama.prompt(prefix, "y\n", order=order).tokens


# The cursor's line may have begun in another file's text, not in the prefix.
def test_auto_looks_at_the_prefix_alone(code_llama: InfillFormat) -> None:
    repository = Repository(files={"a.py": "x"})
    assert code_llama.prompt("", "y", repository=repository).order == "psm"
    assert code_llama.prompt("x", "y", repository=repository).order == "spm"


@pytest.mark.parametrize("order", ["", "PSM", "mid", None, 3])
def test_orders_that_do_not_exist(code_llama: InfillFormat, order: Any) -> None:
    with pytest.raises(RequestError, match="auto, psm, spm") as caught:
        code_llama.prompt("a", "b", order=order)
    assert caught.value.param == "order"


@pytest.mark.parametrize(
    ("prefix", "suffix", "name"), [("\ud800", "", "prefix"), ("", "x\ud800", "suffix")]
)
def test_text_that_is_no_unicode(
    code_llama: InfillFormat, prefix: str, suffix: str, name: str
) -> None:
    with pytest.raises(TokenizerError, match=f"{name}: .*surrogate at"):
        code_llama.prompt(prefix, suffix)


@pytest.mark.parametrize(("prefix", "suffix", "name"), [(None, "", "prefix"), ("", b"x", "suffix")])
def test_text_that_is_no_text(
    code_llama: InfillFormat, prefix: Any, suffix: Any, name: str
) -> None:
    with pytest.raises(RequestError) as caught:
        code_llama.prompt(prefix, suffix)
    assert caught.value.param == name


# --- <FILL_ME> and other files --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a<FILL_ME>b", ("a", "b")),
        ("<FILL_ME>", ("", "")),
        ("a\n  <FILL_ME>\n", ("a\n  ", "\n")),
        ("<FILL_ME<FILL_ME>", ("<FILL_ME", "")),
        ("<fill_me><FILL_ME>", ("<fill_me>", "")),
    ],
)
def test_a_marked_text_has_two_parts(text: str, parts: tuple[str, str]) -> None:
    assert split_marker(text) == parts


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("no fill here", 0), ("<FILL_ME><FILL_ME>", 2), ("<FILL_ME>" * 9, 9)],
)
def test_none_or_several_marks_are_an_error(text: str, count: int) -> None:
    with pytest.raises(RequestError, match=f"got {count} of them") as caught:
        split_marker(text)
    assert caught.value.param == "prompt"
    assert ("write <FILL_ME> there" in caught.value.hint) == (count == 0)


def test_a_marked_text_must_be_a_text() -> None:
    with pytest.raises(RequestError, match="a str"):
        split_marker(None)  # type: ignore[arg-type]
    with pytest.raises(TokenizerError, match=r"prompt: .*surrogate at 0"):
        split_marker("\ud800<FILL_ME>")


@pytest.mark.parametrize(
    ("repository", "text"),
    [
        (Repository(), ""),
        (Repository({}, "a.py"), "# a.py\n"),
        (Repository({"a.py": "x"}), "# a.py\nx\n\n"),
        (Repository({"a.py": "x\n"}), "# a.py\nx\n\n"),
        (Repository({"a.py": ""}), "# a.py\n\n\n"),
        (Repository({"b/x.c": "x;\n", "q.SQL": "y"}), "// b/x.c\nx;\n\n-- q.SQL\ny\n\n"),
        (Repository({}, "m.el"), "; m.el\n"),
        (Repository({"p.tex": "x"}, "Makefile", "not shown"), "% p.tex\nx\n\n# Makefile\n"),
    ],
)  # fmt: skip
def test_other_files_become_text_before_the_prefix(
    code_llama: InfillFormat, theirs: Any, repository: Repository, text: str
) -> None:
    p, s = theirs.start(f"{text}def f"), theirs.inside("b")
    psm = code_llama.prompt("def f", "b", order="psm", repository=repository)
    assert psm.tokens == [1, PRE, *p, SUF, *s, MID]
    spm = code_llama.prompt("def f", "b", order="spm", repository=repository)
    assert spm.tokens == [1, PRE, SUF, *s, MID, *p]


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_other_files_may_stand_apart_from_the_prefix(
    code_llama: InfillFormat, theirs: Any, order: str
) -> None:
    files = theirs.start("# a.py\nx\n\n")
    repository = Repository({"a.py": "x"}, "current.py", "name", is_apart=True)
    made = code_llama.prompt("def f", "b", order=order, repository=repository)
    alone = code_llama.prompt("def f", "b", order=order)
    assert made.tokens == [1, *files, *alone.tokens[1:]]


# --- what a file's keys say -----------------------------------------------------------------

NEW, OLD = ("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle")


def write_code_llama(path: Path, vocabularies: Any, **ids: int) -> Tokenizer:
    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, vocabularies.packaged_model())
        for name, token in ids.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)

    return Tokenizer.from_path(vocabularies.write_gguf(path, fill))


@pytest.mark.parametrize(
    "ids",
    [
        {},
        {"eot": EOT},
        dict(zip(NEW, (PRE, SUF, MID), strict=True)),
        dict(zip(OLD, (PRE, SUF, MID), strict=True)),
        {"suffix": SUF, "fim_mid": MID},
        {"fim_pre": 2**32 - 1, "middle": 70_000},
    ],
)
def test_code_llamas_keys_may_all_be_there_or_some_or_none(
    tmp_path: Path, vocabularies: Any, ids: dict[str, int]
) -> None:
    form = require_format(write_code_llama(tmp_path / "m.gguf", vocabularies, **ids))
    assert (form.family.name, form.stop_ids) == ("Code Llama", {EOT})
    assert form.prompt("", "", order="psm").tokens == [1, PRE, SUF, MID]


def test_a_files_keys_go_before_spelling(tmp_path: Path, vocabularies: Any) -> None:
    tokenizer = write_code_llama(tmp_path / "m.gguf", vocabularies, fim_suf=8011, fim_pad=8012)
    form = require_format(tokenizer)
    assert form.prompt("", "", order="psm").tokens == [1, PRE, 8011, MID]
    assert form.stop_ids == {EOT, 8012}


@pytest.mark.parametrize("missing", ["▁<PRE>", "▁<SUF>", "▁<MID>"])
def test_a_vocabulary_without_all_markers_is_refused(
    tmp_path: Path, vocabularies: Any, missing: str
) -> None:
    model = vocabularies.packaged_model()
    (piece,) = (p for p in model.pieces if p.piece == missing)
    piece.piece = "▁something▁else"
    tokenizer = Tokenizer.from_path(vocabularies.write_sentencepiece(tmp_path / "m.gguf", model))
    assert find_format(tokenizer) is None
    with pytest.raises(UnsupportedModelError) as caught:
        require_format(tokenizer)
    text = str(caught.value)
    assert str(tmp_path / "m.gguf") in text and caught.value.field == "infilling"
    for name in ("Code Llama 7B and 13B", "Qwen2.5-Coder", "DeepSeek-Coder", "infill-10m"):
        assert name in text
