"""halfbyte infill and tokenize --infill: where the texts come from, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import halfbyte
from halfbyte.cli.infill import split_at
from halfbyte.errors import RequestError
from halfbyte.models import DEFAULT_INFILL_MODEL
from halfbyte.models.catalogue import resolve as packaged
from halfbyte.prompt.infill import FILL_MARKER, Repository, require_format
from halfbyte.tokenizer import Tokenizer

TEXT = "def f(x):\r\n\treturn é\n\nend"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes(TEXT.encode())
    return path


def test_prefix_and_suffix_files_arrive_as_they_are(run: Any, model: Any, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes("\ufeffa\r\n\tb ".encode())
    after.write_bytes("\r\né\n".encode())
    outcome = run("infill", "--prefix-file", str(before), "--suffix-file", str(after))
    assert (outcome.code, outcome.out) == (0, " ab\né")
    assert model.prompt == ("\ufeffa\r\n\tb ", "\r\né\n")
    assert outcome.err.startswith("prompt 4 tok ") and outcome.err.endswith(" | order spm\n")
    assert outcome.err.count("\n") == 1


def test_one_side_may_be_missing_or_stdin(run: Any, model: Any, source: Path) -> None:
    run("infill", "--prefix-file", str(source))
    assert model.prompt == (TEXT, "")
    run("infill", "--suffix-file", str(source))
    assert model.prompt == ("", TEXT)
    run("infill", "--prefix-file", str(source), "--suffix-file", "-", stdin="\r\né".encode())
    assert model.prompt == (TEXT, "\r\né")
    run("infill", "--prefix-file", "-", stdin=b"x")
    assert model.prompt == ("x", "")


def test_a_text_with_the_marker(run: Any, model: Any) -> None:
    run("infill", "-p", f"a{FILL_MARKER}b")
    assert model.prompt == ("a", "b")
    run("infill", "-p", "-", stdin=f"a\r\n{FILL_MARKER}\n".encode())
    assert model.prompt == ("a\r\n", "\n")


def test_the_bare_argument_or_a_pipe_is_the_text(run: Any, model: Any) -> None:
    for argv in ([f"a{FILL_MARKER}b"], ["-n", "4"], ["--", f"a{FILL_MARKER}b"]):
        assert run("infill", *argv, stdin=f"a{FILL_MARKER}b".encode()).code == 0
        assert model.prompt == ("a", "b")


@pytest.mark.parametrize("n", [0, 2])
def test_a_text_without_a_place_or_with_two(run: Any, model: Any, n: int) -> None:
    outcome = run("infill", "-p", "x" + n * FILL_MARKER)
    assert outcome.code == 1
    assert f"expected one {FILL_MARKER}" in outcome.err and f"got {n} of them" in outcome.err
    assert model.load_args == {}


def test_a_place_in_a_file(run: Any, model: Any, source: Path) -> None:
    run("infill", "--file", str(source), "--at", "2:9")
    assert model.prompt == ("def f(x):\r\n\treturn ", "é\n\nend")
    run("infill", "--file", "-", "--at", "1:1", stdin=b"abc")
    assert model.prompt == ("", "abc")


@pytest.mark.parametrize(
    ("place", "prefix"),
    [
        ((1, 1), ""),
        ((1, 10), "def f(x):"),
        ((2, 1), "def f(x):\r\n"),
        ((2, 2), "def f(x):\r\n\t"),
        ((2, 10), "def f(x):\r\n\treturn é"),
        ((3, 1), "def f(x):\r\n\treturn é\n"),
        ((4, 4), TEXT),
    ],
)
def test_lines_and_columns(place: tuple[int, int], prefix: str) -> None:
    assert split_at(TEXT, *place, "a.py") == (prefix, TEXT[len(prefix) :])


def test_odd_texts_have_places() -> None:
    assert split_at("", 1, 1, "x") == ("", "")
    assert split_at("a\n", 2, 1, "x") == ("a\n", "")
    assert split_at("a\rb", 2, 1, "x") == ("a\r", "b")
    # Not ends of a line, whatever str.splitlines says.
    assert split_at("a\x0cb\u2028c", 1, 6, "x") == ("a\x0cb\u2028c", "")
    # A byte order mark stays before the cursor and is no column.
    assert split_at("\ufeffab", 1, 1, "x") == ("\ufeff", "ab")
    assert split_at("\ufeffab", 1, 3, "x") == ("\ufeffab", "")


@given(st.text(alphabet="ab\r\n\té", max_size=12), st.data())
def test_every_place_outside_a_line_end_has_one_name(text: str, data: Any) -> None:
    at = data.draw(st.integers(0, len(text)))
    if text[at - 1 : at + 1] == "\r\n":
        at += 1
    lines = text[:at].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert split_at(text, len(lines), len(lines[-1]) + 1, "x") == (text[:at], text[at:])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("5:1", "expected a line of {}, which has 4 lines, got 5"),
        ("1:11", "expected a column from 1 to 10, as line 1 of {} has 9 characters, got 11"),
        ("3:2", "expected a column from 1 to 1, as line 3 of {} has 0 characters, got 2"),
    ],
)
def test_a_place_outside_the_file(
    run: Any, model: Any, source: Path, place: str, said: str
) -> None:
    outcome = run("infill", "--file", str(source), "--at", place)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"error: --at: {said.format(source)}\n"
    assert model.load_args == {}
    with pytest.raises(RequestError, match="which has 1 line, got 2"):
        split_at("x", 2, 1, "x")


def test_files_that_cannot_be_read(run: Any, model: Any, tmp_path: Path) -> None:
    bad, missing = tmp_path / "bad", tmp_path / "missing"
    bad.write_bytes(b"ab\xff")
    outcome = run("infill", "--prefix-file", str(bad))
    assert outcome.code == 1
    assert outcome.err == (
        f"error: --prefix-file {bad}: expected valid UTF-8, got byte 0xff at 2\n"
    )
    for flag in ("--prefix-file", "--suffix-file"):
        outcome = run("infill", flag, str(missing))
        assert outcome.code == 1
        assert outcome.err.startswith(f"error: {flag}: expected a file that can be read")
        assert str(missing) in outcome.err
    assert run("infill", "-p", FILL_MARKER, "--repo-file", str(tmp_path)).code == 1
    assert run("infill", "--file", "-", "--at", "1:1", stdin=b"\xff").code == 1
    assert model.load_args == {}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-p", "x", "--prefix-file", "f"],
        ["-p", "x", "--file", "f", "--at", "1:1"],
        ["--suffix-file", "f", "--file", "f", "--at", "1:1"],
        ["--file", "f"],
        ["-p", "x", "--at", "1:1"],
        ["--prefix-file", "-", "--suffix-file", "-"],
        ["--file", "f", "--at", "7"],
        ["--file", "f", "--at", "0:1"],
        ["--file", "f", "--at", "1:x"],
        ["-p", "x", "--order", "mps"],
        ["-p", "x", "--window", "0"],
        ["-p", "x", "--repo-file", "f", "--repo-file", "f"],
    ],
)
def test_what_does_not_go_together_is_2(run: Any, model: Any, argv: list[str]) -> None:
    outcome = run("infill", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert "usage: halfbyte infill" in outcome.err and "halfbyte infill: error: " in outcome.err
    assert model.load_args == {}


def test_options(run: Any, model: Any, source: Path, tmp_path: Path) -> None:
    run("infill", "-p", FILL_MARKER)
    assert model.how == {
        "heal": True, "order": "auto", "repository": None, "window": 2048, "force": False,
    }  # fmt: skip
    assert model.load_args["model"] == DEFAULT_INFILL_MODEL
    assert model.params == {}
    other = tmp_path / "b.py"
    other.write_text("b\n")
    run(
        *("infill", "-m", "m.gguf", "--file", str(source), "--at", "1:1", "--order", "psm"),
        *("--no-heal", "--repo-file", str(other), "--repo-file", str(source)),
        *("--repo-name", "r", "-n", "5", "--temp", "0.5", "--window", "9", "--force"),
    )
    files = {str(other): "b\n", str(source): TEXT}
    assert model.how == {
        "heal": False,
        "order": "psm",
        "repository": Repository(files, current=str(source), name="r"),
        "window": 9,
        "force": True,
    }
    assert model.load_args["model"] == "m.gguf"
    assert model.params == {"max_tokens": 5, "temperature": 0.5}


def test_the_whole_text(run: Any, model: Any) -> None:
    outcome = run("infill", "-p", f"x\r\n{FILL_MARKER} y\n", "--full")
    assert outcome.out == "x\r\n ab\né y\n"
    model.pieces = []
    assert run("infill", "-p", f"x{FILL_MARKER}y", "--full").out == "xy"
    # What fails before the middle begins leaves nothing on stdout.
    model.pieces = [RequestError("x")]
    assert run("infill", "-p", f"x{FILL_MARKER}y", "--full").out == ""


def test_json(run: Any, model: Any) -> None:
    outcome = run("infill", "-p", FILL_MARKER, "--json")
    found = json.loads(outcome.out)
    assert found == {
        "model": "/models/fake.gguf", "text": " ab\né", "order": "spm", "healed": "he",
        "tokens": [5, 6, 7], "finish_reason": "length", "seed": None,
        "n_prefix_dropped": 0, "n_suffix_dropped": 0, "files_dropped": [], "trimmed": "",
        "stats": {
            "n_prompt": 4, "prefill_s": 0.5, "n_decode": 3, "decode_s": 1.5, "load_s": 0.25,
            "n_reused": 0, "mismatch": "", "n_drafted": 0, "n_accepted": 0,
        },
    }  # fmt: skip
    assert outcome.err.endswith(" | order spm\n")
    whole = json.loads(run("infill", "-p", FILL_MARKER, "--json", "--full").out)
    assert whole == {**found, "full_text": "the whole text"}


def test_where_it_ends(run: Any, infill_gguf: Path) -> None:
    argv = ("infill", "-m", str(infill_gguf), "-p", "import os\n" + FILL_MARKER, "--json")
    found = json.loads(run(*argv, "--single-line", "--min-confidence", "0").out)
    assert "\n" not in found["text"].lstrip() and 0 < found["first_token_probability"] < 1
    assert 0 < found["mean_probability"] < 1 and found["trimmed"] == ""
    outcome = run(*argv[:-1], "--min-confidence", "1")
    assert (outcome.out.strip(), outcome.code) == ("", 0)
    assert "less likely than --min-confidence" in outcome.err
    for value in ("1.5", "nan", "x"):
        assert "a number from 0 to 1" in run(*argv, "--min-confidence", value).err


def test_interrupted_is_130(run: Any, model: Any) -> None:
    model.pieces = ["a", KeyboardInterrupt()]
    outcome = run("infill", "-p", FILL_MARKER)
    assert (outcome.code, outcome.out, outcome.err) == (130, "a", "interrupted\n")


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_with_a_model(run: Any, infill_gguf: Path, order: str) -> None:
    prefix, suffix = "ab cd", "ef gh\n"
    with halfbyte.load(infill_gguf) as model:
        expected = model.infill(prefix, suffix, order=order, max_tokens=12)
    argv = ("-m", str(infill_gguf), "-p", prefix + FILL_MARKER + suffix, "-n", "12")
    outcome = run("infill", *argv, "--order", order)
    assert (outcome.code, outcome.out) == (0, expected.text)
    assert outcome.err.endswith(f" | order {order}\n")
    whole = run("infill", *argv, "--order", order, "--full")
    assert whole.out == prefix + expected.text + suffix
    found = json.loads(run("infill", *argv, "--order", order, "--json", "--full").out)
    assert (found["tokens"], found["order"]) == (expected.tokens, order)
    assert found["full_text"] == whole.out


def test_a_model_that_cannot(run: Any, tiny_gguf: Path) -> None:
    outcome = run("infill", "-m", str(tiny_gguf), "-p", FILL_MARKER)
    assert (outcome.code, outcome.out) == (1, "")
    assert "expected infilling tokens in the vocabulary" in outcome.err


def test_a_model_that_was_not_trained_to(run: Any, infill_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    halfbyte.convert(infill_gguf, path, type="q8_0", measure=False, name="Qwen3-8B")
    argv = ("infill", "-m", str(path), "-p", f"ab{FILL_MARKER}cd", "-n", "4")
    outcome = run(*argv)
    assert (outcome.code, outcome.out) == (1, "")
    assert "'Qwen3-8B', which was not" in outcome.err and "--force" in outcome.err
    same = run("infill", "-m", str(infill_gguf), *argv[3:])
    assert run(*argv, "--force").out == same.out


def test_a_long_file(run: Any, tmp_path: Path) -> None:
    """One of more than 4,000 tokens, with a context of 512."""
    path = tmp_path / "long.py"
    blocks = [f"def f{i}(x):\n    wanted = {FILL_MARKER!r}\n" for i in range(200)]
    text = "".join([*blocks, "def g(x):\n    if x:\n        return wanted if\n", *blocks])
    path.write_text(text, "utf-8")
    assert len(Tokenizer.from_path(packaged("infill-10m")).encode(text)) > 4000
    line = text[: text.index("return wanted if")].count("\n") + 1
    argv = ("infill", "--file", str(path), "--at", f"{line}:9", "-n", "8", "--json", "--full")
    outcome = run(*argv)
    assert outcome.code == 0
    found = json.loads(outcome.out)
    dropped = (found["n_prefix_dropped"], found["n_suffix_dropped"])
    assert all(dropped) and 350 < found["stats"]["n_prompt"] <= 512 - 8
    before, after = (f"{n:,} characters" for n in dropped)
    assert f"{before} at the beginning, {after} at the end: the prompt is" in outcome.err
    at = text.index("return wanted if")
    assert found["full_text"] == text[:at] + found["text"] + text[at:]
    # The file mentions the mark, but the cursor says where.
    assert FILL_MARKER in text and FILL_MARKER not in outcome.err
    smaller = json.loads(run(*argv, "--window", "64").out)
    assert 30 < smaller["stats"]["n_prompt"] <= 64 + 4


def test_infill_10m(run: Any, shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data" / "models" / "infill-10m"
    if not folder.is_dir():
        pytest.skip(f"no model in {folder}")
    path, source = tmp_path / "m.gguf", tmp_path / "a.py"
    assert run("convert", str(folder), str(path)).code == 0
    source.write_text("def add(a, b):\n    ret\n\n\nprint(add(1, 2))\n")
    outcome = run(
        "infill", "-m", str(path), "--file", str(source), "--at", "2:8", "-n", "2", "--full"
    )
    assert outcome.code == 0
    # The cursor stands within a word: healing lets "ret" become "return".
    assert outcome.out.startswith("def add(a, b):\n    return a")
    assert outcome.out.endswith("\n\n\nprint(add(1, 2))\n")
    assert outcome.err.endswith(" | order spm\n")


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_tokenize_shows_the_prompt(run: Any, infill_gguf: Path, order: str) -> None:
    argv = ("tokenize", "-m", str(infill_gguf), "--infill", "-p", f"ab{FILL_MARKER}cd")
    outcome = run(*argv, "--order", order)
    # Prefix and suffix as they are in this vocabulary: "ab" would be healed, were it asked for.
    pieces = {"p": "▁a b", "s": "c d", "P": "▁<PRE>", "S": "▁<SUF>", "M": "▁<MID>"}
    layout = {"psm": "PpSsM", "spm": "PSsMp"}[order]
    expected = ["<s>", *" ".join(pieces[part] for part in layout).split()]
    assert [line.split()[1] for line in outcome.out.splitlines()] == list(map(repr, expected))
    assert outcome.err == f"order {order}\n"
    found = json.loads(run(*argv, "--order", order, "--json").out)
    prompt = require_format(Tokenizer.from_path(infill_gguf)).prompt("ab", "cd", order=order)
    assert found == {"ids": prompt.tokens, "pieces": expected, "order": order}


def test_tokenize_heeds_the_models_name(run: Any, tmp_path: Path, vocabularies: Any) -> None:
    """Mellum's vocabulary is StarCoder's."""
    specials = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>")
    made = vocabularies.train_byte_level("starcoder", specials)
    for name, first in (("Mellum 4b Base", "<fim_suffix>"), ("StarCoder", "<fim_prefix>")):
        path = tmp_path / "m.gguf"
        made.write(path, special_type=3, fill=lambda writer, name=name: writer.add_name(name))
        shown = run("tokenize", "-m", str(path), "--infill", "-p", f"a{FILL_MARKER}b").out
        assert shown.split()[0] == str(made.id_of(first))


def test_tokenize_chooses_the_order(run: Any, infill_gguf: Path) -> None:
    argv = ("tokenize", "-m", str(infill_gguf), "--infill", "-p")
    assert run(*argv, f"ab{FILL_MARKER}").err == "order spm\n"
    assert run(*argv, f"ab\n{FILL_MARKER}").err == "order psm\n"
    assert run(*argv, "no place").code == 1


def test_tokenize_parses_markers_if_asked(run: Any, infill_gguf: Path) -> None:
    tokenizer = Tokenizer.from_path(infill_gguf)
    argv = ("tokenize", "-m", str(infill_gguf), "--json", "-p")
    eot = tokenizer.id_of("▁<EOT>")
    assert eot not in json.loads(run(*argv, "a <EOT>").out)["ids"]
    ids = json.loads(run(*argv, "a <EOT>", "--parse-markers").out)["ids"]
    assert ids == tokenizer.encode("a <EOT>", parse_markers=True)
    assert eot in ids
    infilling = (f"a{FILL_MARKER} <EOT>", "--infill")
    assert eot not in json.loads(run(*argv, *infilling).out)["ids"]
    assert eot in json.loads(run(*argv, *infilling, "--parse-markers").out)["ids"]


def test_tokenize_of_a_folder_and_a_tokenizer_model(
    run: Any, tiny_folder: Path, tiny_gguf: Path
) -> None:
    expected = run("tokenize", "-m", str(tiny_gguf), "-p", "ab cd").out
    assert expected
    for path in (tiny_folder, tiny_folder / "tokenizer.model"):
        outcome = run("tokenize", "-m", str(path), "-p", "ab cd")
        assert (outcome.code, outcome.out, outcome.err) == (0, expected, "")


@pytest.mark.parametrize("more", [["--order", "psm"], ["--infill", "--no-bos"]])
def test_tokenize_usage(run: Any, more: list[str]) -> None:
    assert run("tokenize", "-p", "x", *more).code == 2
