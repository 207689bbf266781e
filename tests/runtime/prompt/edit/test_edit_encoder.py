"""Requests as ids, against the `tokenizers` package, and answers as changes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given

from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.prompt.edit.change import Change
from halfbyte.prompt.edit.edit_encoder import EditEncoder
from halfbyte.prompt.edit.edit_formats import FORMATS
from halfbyte.prompt.edit.edit_request import Diagnostic, PastEdit
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.tokenizer import Tokenizer
from tests.runtime.prompt.edit.asked import FEW, TEXTS, at, rendered

CODE = "import os\n\n\ndef f(x):\n    retu‸rn x + 1\n\n\nprint(f(12, 'é'))\n"
MORE: dict[str, Any] = {
    "history": [PastEdit("b.py", "a.get(1)\n", "a.fetch(1)\n"), PastEdit("c.py", "", "x = 1\n")],
    "related": {"lib.py": "def helper():\n    pass\n", "util.py": "y = 2"},
}
SAID = [Diagnostic("f is unused", 4)]


def encoder(tokenizer: Tokenizer, names: tuple[str, ...] = (), n_ctx: int = 8192) -> EditEncoder:
    return EditEncoder(tokenizer, PromptEncoder(tokenizer, n_ctx, names), n_ctx, names)


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_ids_are_those_of_the_whole_text(name: str, vocabulary_of: Any) -> None:
    made = vocabulary_of(name)
    request = at(CODE, "src/a.py", **MORE)
    prompt = encoder(made.tokenizer, (name, "x")).prompt(request, format=name)
    layout = FORMATS[name].lay_out(request)
    assert prompt.tokens == made.documented(rendered(layout))
    assert (prompt.format, prompt.left_out, prompt.taken_back) == (name, (), ())
    assert prompt.draft_text == layout.draft
    assert prompt.stop_texts == FORMATS[name].stop_texts
    ends = {made.tokenizer.id_of(text) for text in FORMATS[name].stop_tokens}
    assert prompt.stop_ids == ends and None not in ends


@FEW
@given(TEXTS, TEXTS)
def test_no_text_of_a_user_becomes_a_special_token(
    vocabulary_of: Any, before: str, after: str
) -> None:
    for name in FORMATS:
        made = vocabulary_of(name)
        encode = encoder(made.tokenizer).prompt
        text, empty = f"{before}‸{after}", "x‸x"
        more = {"related": {"a": before}, "history": [PastEdit("b", after, "x")]}
        same = {"related": {"a": "x"}, "history": [PastEdit("b", "y", "x")]}
        found = made.special_ids(encode(at(text, **more), format=name).tokens)
        wanted = made.special_ids(encode(at(empty, **same), format=name).tokens)
        if after in ("x", "x\n", "x\r\n", "x\r"):
            continue  # nothing was edited
        if name == "sweep" and not (before + after):
            wanted = wanted[1:]  # an empty file is not shown before its window
        assert found == wanted


def test_what_does_not_fit_is_left_out_and_told(name: str, vocabulary_of: Any) -> None:
    made = vocabulary_of(name)
    request = at(CODE, "src/a.py", **MORE, diagnostics=SAID)
    encode = encoder(made.tokenizer).prompt
    whole, bare = (encode(request, format=name, window=n) for n in (None, 1))
    alone = encode(at(CODE, "src/a.py"), format=name, window=1)
    assert bare.tokens == alone.tokens
    assert "2 of 2 past edits" in bare.left_out and "2 of 2 other files" in bare.left_out
    assert ("1 of 1 diagnostics" in whole.left_out) == (name != "sweep")
    assert "1 of 1 diagnostics" in bare.left_out
    latest = {"history": MORE["history"][1:]}
    with_latest = encode(at(CODE, "src/a.py", **latest), format=name)
    if name != "sweep":  # whose file around the cursor comes next
        shown = encode(request, format=name, window=len(with_latest.tokens) + 3)
        assert shown.tokens == with_latest.tokens
        assert shown.left_out[:2] == ("1 of 2 past edits", "2 of 2 other files")
    for n in range(len(bare.tokens), len(whole.tokens), 7):
        assert len(encode(request, format=name, window=n).tokens) <= n
    assert encode(request, format=name, window=len(whole.tokens) + 20).tokens == whole.tokens


def test_the_answers_length_goes_by_the_draft(name: str, vocabulary_of: Any) -> None:
    made = vocabulary_of(name)
    prompt = encoder(made.tokenizer).prompt(at(CODE), format=name)
    n = len(made.plain.encode(prompt.draft_text).ids)
    assert n < prompt.max_tokens < 2 * n + 65
    given = encoder(made.tokenizer).prompt(at(CODE), format=name, max_tokens=7)
    assert given.max_tokens == 7


def test_what_is_too_long(name: str, vocabulary_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = vocabulary_of(name).tokenizer
    with pytest.raises(ContextLengthError) as caught:
        encoder(tokenizer, n_ctx=20).prompt(at(CODE), format=name)
    assert caught.value.param == "text" and caught.value.n_ctx == 20
    # A line of megabytes is refused before it is encoded.
    long = at("‸" + "x" * 3_000_000)
    monkeypatch.setattr(tokenizer, "encode_fragment", lambda text: [0] if len(text) < 9 else 1 / 0)
    with pytest.raises(ContextLengthError):
        encoder(tokenizer, n_ctx=2048).prompt(long, format=name, max_tokens=5)


def test_bos_where_the_vocabulary_wants_it(
    name: str, vocabulary_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = vocabulary_of(name).tokenizer
    plain = encoder(tokenizer).prompt(at(CODE), format=name).tokens
    monkeypatch.setattr(tokenizer, "add_bos", True)
    monkeypatch.setattr(tokenizer, "bos_id", 7)
    assert encoder(tokenizer).prompt(at(CODE), format=name).tokens == [7, *plain]


def test_answers_become_changes(name: str, vocabulary_of: Any) -> None:
    request = at(CODE.replace("\n", "\r\n"))
    prompt = encoder(vocabulary_of(name).tokenizer).prompt(request, format=name)
    answer = prompt.draft_text.replace("x + 1", "x + 2\n").replace("<|user_cursor|>", "")
    plus = request.view.original.index("1\r\n\r\n\r\nprint")
    expected = Change(plus, plus + 1, "2\r\n", None)
    assert prompt.change(answer, is_whole=True) == expected


def test_answers_that_are_none(
    name: str, vocabulary_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = encoder(vocabulary_of(name).tokenizer).prompt(at(CODE), format=name)
    nothing = Change(*(prompt.view.original_cursor,) * 2, "")
    with caplog.at_level(logging.WARNING):
        assert prompt.change(prompt.draft_text, is_whole=True) == nothing
        assert not caplog.records
        assert prompt.change("x", is_whole=False) == nothing
    assert "the answer was cut by max_tokens or the context, so" in caplog.text
    if name == "zeta-2.1":
        assert prompt.change("x = 1", is_whole=True) == nothing
        assert "not as zeta-2.1 has it" in caplog.text and "got 0" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zeta-2", ">>>>>>> UPDATED"), ("zeta-2", "<|user_cursor|>"),
        ("zeta-2.1", "<|marker_3|>"), ("zeta-2.1", "<|user_cursor|>"),
    ],
)  # fmt: skip
def test_text_that_would_be_misread(name: str, text: str, vocabulary_of: Any) -> None:
    encode = encoder(vocabulary_of(name).tokenizer).prompt
    with pytest.raises(RequestError, match="in the lines around the cursor") as caught:
        encode(at(f"a‸\n{text}\n"), format=name)
    assert caught.value.param == "text"
    far = "x\n" * 800
    encode(at(f"{text}\n{far}‸{far}{text}", related={"b": text}), format=name)  # not in the answer


def test_the_format_is_found_or_given(vocabulary_of: Any) -> None:
    seed, qwen = (vocabulary_of(name).tokenizer for name in ("zeta-2", "sweep"))
    assert encoder(seed, ("m", "zeta-2.1")).prompt(at("‸")).format == "zeta-2.1"
    assert encoder(seed, ("zeta-2.1",)).prompt(at("‸"), format="zeta-2").format == "zeta-2"
    assert encoder(qwen, ("sweep-next-edit",)).prompt(at("‸")).format == "sweep"
    assert encoder(qwen, ("sweep-next-edit",)).prompt(at("‸"), format="fim").format == "fim"
    assert encoder(qwen, ("qwen2.5-coder-7b",)).prompt(at("‸")).format == "fim"
    for wrong in ("zeta", "", 3, "auto"):
        with pytest.raises(RequestError, match=r"one of sweep, zeta-2\.1, zeta-2, fim"):
            encoder(qwen).prompt(at("‸"), format=wrong)
    with pytest.raises(RequestError, match="window"):
        encoder(qwen).prompt(at("‸"), format="sweep", window=0)


def test_models_without_edits(vocabulary_of: Any) -> None:
    seed, qwen = (vocabulary_of(name).tokenizer for name in ("zeta-2", "sweep"))
    with pytest.raises(UnsupportedModelError, match=r"next edits: expected .* or a model that was"):
        encoder(qwen, ("something",)).prompt(at("‸"))
    with pytest.raises(UnsupportedModelError, match=r"sweep, zeta-2\.1, zeta-2, fim"):
        encoder(seed, ("something",)).prompt(at("‸"))
    assert (
        encoder(seed, ("seed-coder",)).prompt(at("‸")).format == "fim"
    )  # it infills at the cursor
    with pytest.raises(UnsupportedModelError, match="file_sep"):
        encoder(seed, ("sweep-next-edit",)).prompt(at("‸"))


def test_the_fallback_shows_files_and_says_what_it_does_not(vocabulary_of: Any) -> None:
    made = vocabulary_of("sweep")
    asked = at(CODE, "a.py", **MORE, diagnostics=SAID)
    prompt = encoder(made.tokenizer, ("qwen2.5-coder",)).prompt(asked)
    before, after = CODE.split("‸")
    files = "".join(f"<|file_sep|>{n}\n{t.rstrip()}\n" for n, t in MORE["related"].items())
    whole = f"{files}<|file_sep|>a.py\n<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"
    n_back = len(prompt.taken_back)
    assert n_back
    ids = prompt.tokens
    at_suffix = ids.index(made.tokenizer.id_of("<|fim_suffix|>"))
    healed = [*ids[:at_suffix], *prompt.taken_back, *ids[at_suffix:]]
    assert healed == made.documented(whole)
    assert prompt.left_out == ("2 of 2 past edits", "1 of 1 diagnostics")
    assert (prompt.draft_text, prompt.max_tokens, prompt.stop_texts) == ("", 128, ("\n",))
    offset = asked.view.original_cursor
    assert prompt.change("n", is_whole=False) == Change(offset, offset, "n")
