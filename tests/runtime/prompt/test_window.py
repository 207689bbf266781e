"""What of long texts a model is shown: the ends at the cursor, whole lines, within the room."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.models import catalogue
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillPrompt, Repository, require_format
from halfbyte.prompt.window import Window, nearest
from halfbyte.tokenizer import Tokenizer

# Lines of some length, each another one: 6,000 tokens and more.
SOURCE = "".join(
    f"def part_{i}(a, b={i}):\n    # of {'many ' * (i % 7)}parts\n    return first + second\n\n"
    for i in range(200)
)
AT = SOURCE.index("first + second", len(SOURCE) // 2)


@pytest.fixture(scope="module", params=["sentencepiece", "bytes"])
def tokenizer(
    request: pytest.FixtureRequest, vocabularies: Any, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    if request.param == "sentencepiece":
        return Tokenizer.from_path(vocabularies.PACKAGED)
    made = vocabularies.train_byte_level("qwen2")
    return Tokenizer.from_path(made.write(tmp_path_factory.mktemp("bytes") / "m.gguf"))


def cut(
    tokenizer: Tokenizer, prefix: str, suffix: str, room: int, window: int | None = None
) -> Window:
    return nearest(tokenizer, (prefix, suffix), None, room=room, window=window, parse_markers=False)


def sizes(tokenizer: Tokenizer, window: Window) -> tuple[int, int]:
    before = tokenizer.encode(window.prefix, add_bos=False)
    return len(before), len(tokenizer.encode_fragment(window.suffix))


LINES = st.lists(
    st.sampled_from(["", "x = 1", "    return é", "日本語 = '☺'", "\t", "y" * 40, "<FILL_ME>"]),
    max_size=30,
)
TEXTS = st.builds(lambda lines, end: end.join(lines), LINES, st.sampled_from(["\n", "\r\n", "\r"]))


@settings(max_examples=150)
@given(TEXTS, TEXTS, st.integers(0, 80))
def test_ends_at_the_cursor_within_the_room(
    tokenizer: Tokenizer, prefix: str, suffix: str, room: int
) -> None:
    whole = sum(sizes(tokenizer, Window(prefix, suffix, None)))
    shown = cut(tokenizer, prefix, suffix, room)
    assert prefix.endswith(shown.prefix) and suffix.startswith(shown.suffix)
    assert sum(sizes(tokenizer, shown)) <= room
    assert ((shown.prefix, shown.suffix) == (prefix, suffix)) == (whole <= room)


def test_far_ends_are_ends_of_lines(tokenizer: Tokenizer) -> None:
    prefix, suffix = SOURCE[:AT], SOURCE[AT:]
    for ends in ("\n", "\r\n", "\r"):
        before, after = prefix.replace("\n", ends), suffix.replace("\n", ends)
        for room in (200, 400, 777):
            shown = cut(tokenizer, before, after, room)
            rest, beyond = before[: -len(shown.prefix)], after[len(shown.suffix) :]
            assert rest.endswith(ends) and shown.suffix.endswith(ends) and beyond
            # Not a line of the suffix less than fits, and not a step of the prefix.
            line = beyond.partition(ends)[0] + ends
            assert len(tokenizer.encode_fragment(shown.suffix + line)) > room // 4
            step = 1 << ((room - room // 4).bit_length() - 1)
            more = Window(before[-len(shown.prefix) - 2 * step :], "", None)
            assert sum(sizes(tokenizer, more)) > room - room // 4
            assert (len(rest) - len(rest.rpartition(ends)[2])) % step < step // 2 + 100


def test_a_long_line_is_cut_within(tokenizer: Tokenizer) -> None:
    prefix, suffix = "a = 1\n" + "b;é(0)," * 5000 + "z", "c" * 5000 + "\nd\n"
    shown = cut(tokenizer, prefix, suffix, 100)
    n_prefix, n_suffix = sizes(tokenizer, shown)
    assert 40 <= n_prefix <= 75 and 20 <= n_suffix <= 25
    assert prefix.endswith(shown.prefix) and "\n" not in shown.prefix
    # A short line at the cursor does not cost the long one before it.
    assert len(cut(tokenizer, prefix + "\nx", "", 100).prefix) > 50


def test_the_suffix_gets_a_quarter_and_what_is_left(tokenizer: Tokenizer) -> None:
    long = "x = 1\n" * 2000
    n_prefix, n_suffix = sizes(tokenizer, cut(tokenizer, long, long, 400))
    assert 150 <= n_prefix <= 300 and 80 <= n_suffix <= 100
    n_prefix, n_suffix = sizes(tokenizer, cut(tokenizer, long, "y\n", 400))
    assert n_suffix <= 4 and n_prefix > 250
    n_prefix, n_suffix = sizes(tokenizer, cut(tokenizer, "y", long, 400))
    assert n_prefix <= 4 and 330 < n_suffix <= 350


@pytest.mark.parametrize("unit", ["x = foo(1)\n", " ", "é\n", "0"])
def test_the_work_follows_the_room_not_the_text(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    n_encoded = []
    for name in ("encode", "encode_fragment"):
        real = getattr(Tokenizer, name)

        def count(self: Tokenizer, text: str, real: Any = real, **how: Any) -> list[int]:
            n_encoded.append(len(text))
            return real(self, text, **how)

        monkeypatch.setattr(Tokenizer, name, count)
    huge = unit * (10_000_000 // len(unit))
    shown = cut(tokenizer, huge, huge, 100_000, window=200)
    assert shown.prefix and shown.suffix
    # A token stands for at most so many bytes; what is encoded grows by a factor of 4.
    assert sum(n_encoded) <= 40 * 200 * tokenizer.max_piece_nbytes
    assert sum(sizes(tokenizer, shown)) <= 200


def fitting(tokenizer: Tokenizer, files: dict[str, str], room: int, text: str) -> Window:
    return nearest(
        tokenizer, (text, ""), Repository(files, "m.py"),
        room=room, window=None, parse_markers=False,
    )  # fmt: skip


def test_other_files_are_whole_or_left_out(tokenizer: Tokenizer) -> None:
    small, big = "a = 1\n" * 5, "b = 2\n" * 500
    n_small = len(tokenizer.encode_fragment(small))
    files = {"far.py": small, "big.py": big, "near.py": small}
    shown = fitting(tokenizer, files, 10_000, "x")
    assert shown.repository == Repository(files, "m.py") and shown.files_dropped == ()
    # What does not fit is left out; what is before it may.
    shown = fitting(tokenizer, files, 6 * n_small, "x")
    assert shown.repository == Repository({"far.py": small, "near.py": small}, "m.py")
    assert shown.files_dropped == ("big.py",)
    # Beside a long text files get half of the room, the nearest first.
    shown = fitting(tokenizer, files, 3 * n_small, big)
    assert shown.repository is not None and list(shown.repository.files) == ["near.py"]
    assert len(shown.prefix) > len(small)
    assert sizes(tokenizer, shown)[0] <= 2 * n_small
    assert fitting(tokenizer, files, 4, "x").files_dropped == tuple(files)


# --- what is asked of a model ---------------------------------------------------------------


@cache
def packaged() -> Tokenizer:
    return Tokenizer.from_path(catalogue.resolve("infill-10m"))


def asked(prefix: str, suffix: str, n_ctx: int = 512, **how: Any) -> InfillPrompt:
    defaults: dict[str, Any] = {
        "order": "auto", "heal": False, "repository": None, "parse_markers": False,
    }  # fmt: skip
    return PromptEncoder(packaged(), n_ctx, ["infill-10m"]).infilling(
        prefix, suffix, **{**defaults, **how}
    )


@settings(max_examples=25)
@given(TEXTS, TEXTS, st.sampled_from(["psm", "spm"]))
def test_what_fits_is_laid_out_as_before(prefix: str, suffix: str, order: str) -> None:
    made = asked(prefix, suffix, 4096, order=order, max_tokens=64)
    form = require_format(packaged())
    assert made.tokens == form.prompt(prefix, suffix, order=order).tokens
    assert (made.n_prefix_dropped, made.n_suffix_dropped) == (0, 0)


def test_room_is_left_for_the_answer() -> None:
    for max_tokens, most in ((100, 412), (1, 511), (0, 511), (5000, 256)):
        made = asked(SOURCE[:AT], SOURCE[AT:], max_tokens=max_tokens)
        assert 0.7 * most < len(made.tokens) <= most
        assert made.prefix + made.suffix == SOURCE
    repository = Repository({"far.py": "x = 1\n" * 10, "near.py": "y = 2\n" * 10}, "m.py", "r")
    made = asked(SOURCE[:AT], SOURCE[AT:], max_tokens=100, repository=repository)
    assert 0.7 * 412 < len(made.tokens) <= 412 and made.files_dropped == ()
    made = asked(SOURCE[:AT], SOURCE[AT:], window=100, max_tokens=1)
    assert 60 < len(made.tokens) <= 104
    shown = SOURCE[made.n_prefix_dropped : len(SOURCE) - made.n_suffix_dropped]
    assert SOURCE[AT - 9 : AT + 9] in shown and shown.endswith("\n")


def test_what_is_left_out_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asked("x", "y")
        assert not caplog.records
        repository = Repository({"big.py": SOURCE})
        made = asked(SOURCE[:AT], SOURCE[AT:], repository=repository)
    (record,) = caplog.records
    for part in (f"{made.n_prefix_dropped:,} characters at the beginning", "big.py", "window"):
        assert part in record.getMessage()
    assert made.files_dropped == ("big.py",)
    caplog.clear()
    asked("x", "y", repository=Repository({f"{i}.py": SOURCE for i in range(99)}))
    assert "3.py, 4.py, 94 more files: " in caplog.text


@pytest.mark.parametrize("window", [0, -1, 2.5, "9", True])
def test_windows_that_are_none(window: Any) -> None:
    with pytest.raises(RequestError, match="a whole number from 1") as caught:
        asked("a", "b", window=window)
    assert caught.value.param == "window"


def test_a_long_file_is_filled_at_its_cursor(
    infill_model: halfbyte.Model, caplog: pytest.LogCaptureFixture
) -> None:
    """The middle is that of the part that is shown."""
    done = infill_model.infill(SOURCE[:AT], SOURCE[AT:], max_tokens=8)
    n, m = done.n_prefix_dropped, done.n_suffix_dropped
    assert n > 0 and m > 0 and caplog.records
    part = infill_model.infill(SOURCE[n:AT], SOURCE[AT : len(SOURCE) - m], max_tokens=8)
    assert (part.tokens, part.n_prefix_dropped) == (done.tokens, 0)
    assert part.stats.n_prompt == done.stats.n_prompt
    assert done.full_text == SOURCE[:AT] + done.text + SOURCE[AT:]
