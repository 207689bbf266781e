"""Prompts that clients lay out have the tokens that the format's own layout has."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.errors import ContextLengthError, RequestError, TokenizerError
from halfbyte.prompt.edit.client_prompt import client_prompt
from halfbyte.prompt.edit.edit_encoder import EditEncoder
from halfbyte.prompt.edit.edit_formats import FORMATS
from halfbyte.prompt.edit.edit_request import PastEdit
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.tokenizer import Tokenizer
from tests.runtime.prompt.edit.asked import at, rendered

LINES = "".join(f"x{i} = {i}\n\n" for i in range(30))
CODE = f"import os\n{LINES}def f(x):\n    retu‸rn x + 1\n\n{LINES}"
MORE: dict[str, Any] = {
    "history": [PastEdit("b.py", "a.get(1)\n", "a.fetch(1)\n")],
    "related": {"lib.py": "def helper():\n    return '<|im_start|><[begin▁of▁sentence]>'\n"},
}


def encoder(tokenizer: Tokenizer, name: str) -> EditEncoder:
    names = (name.replace("sweep", "sweep-next-edit"),)
    return EditEncoder(tokenizer, PromptEncoder(tokenizer, 8192), 8192, names)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("code", [CODE, "‸", "a‸", "‸\n", "x\n‸"])
def test_it_is_the_prompt_that_is_made_here(vocabulary_of: Any, name: str, code: str) -> None:
    tokenizer = vocabulary_of(name).tokenizer
    request, encode = at(code, "src/a.py", **MORE), encoder(tokenizer, name)
    expected = encode.prompt(request)
    got = encode.client_prompt(rendered(FORMATS[name].lay_out(request)), None)
    assert got is not None and got.format == name == encode.format
    assert (got.tokens, got.draft) == (expected.tokens, expected.draft_text)
    assert got.stop == expected.stop_texts and set(got.stop_tokens) == expected.stop_ids


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_that_is_begun_goes_on(vocabulary_of: Any, name: str) -> None:
    tokenizer = vocabulary_of(name).tokenizer
    layout = FORMATS[name].lay_out(at(CODE))
    begun = layout.draft[: len(layout.draft) // 3]
    for more, draft in ((begun, layout.draft[len(begun) :]), ("other", None)):
        got = encoder(tokenizer, name).client_prompt(rendered(layout) + more, None)
        assert got is not None
        if draft is not None:
            assert got.draft == draft
        else:  # all that may change is near
            assert got.draft.endswith(layout.draft)


def test_sweep_s_window_may_have_no_lines_told(vocabulary_of: Any) -> None:
    tokenizer = vocabulary_of("sweep").tokenizer
    prompt = (
        "<|file_sep|>a.py\nx\n<|file_sep|>original/a.py\ny\n"
        "<|file_sep|>current/a.py\nz<|cursor|>\n<|file_sep|>updated/a.py"
    )
    got = client_prompt(tokenizer, FORMATS.values(), prompt, 8192)
    assert got is not None and got.draft == "\nz\n"
    assert [tokenizer.piece(i) for i in got.tokens if not tokenizer.token_bytes(i)] == [
        "<|file_sep|>"
    ] * 4


def test_zed_may_take_one_zeta_for_the_other(vocabulary_of: Any) -> None:
    tokenizer = vocabulary_of("zeta-2").tokenizer
    prompt = rendered(FORMATS["zeta-2.1"].lay_out(at(CODE)))
    got = encoder(tokenizer, "zeta-2").client_prompt(prompt, None)
    assert got is not None and got.format == "zeta-2.1"


@pytest.mark.parametrize(
    "prompt",
    [
        "", "def f(", "<|file_sep|>", "<[fim-middle]>", "<[fim-suffix]><[fim-middle]>",
        "<|file_sep|>updated/a.py\n", "<|file_sep|>current/b\nx\n<|file_sep|>updated/a\n",
        "<|file_sep|>current/a\nx\n<|file_sep|>updated/a\ny<|file_sep|>z",
        "<<<<<<< CURRENT\nx\n=======\n<[fim-middle]>", "<|marker_1|>x<|marker_2|><[fim-middle]>",
        "<[fim-suffix]>\n<[fim-prefix]><filename>a\n<|marker_1|>x<[fim-middle]>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", FORMATS)
def test_other_texts_are_none(vocabulary_of: Any, name: str, prompt: str) -> None:
    assert encoder(vocabulary_of(name).tokenizer, name).client_prompt(prompt, None) is None


def test_other_models_read_none(vocabulary_of: Any) -> None:
    tokenizer = vocabulary_of("sweep").tokenizer
    prompt = rendered(FORMATS["sweep"].lay_out(at(CODE)))
    known = encoder(tokenizer, "qwen")
    assert known.format is None and known.client_prompt(prompt, None) is None
    assert known.client_prompt(prompt, "sweep") is not None
    seed = vocabulary_of("zeta-2").tokenizer
    assert encoder(seed, "sweep").client_prompt(prompt, None) is None


def test_bad_input(vocabulary_of: Any) -> None:
    encode = encoder(vocabulary_of("sweep").tokenizer, "sweep")
    with pytest.raises(RequestError, match="format"):
        encode.client_prompt("a", "fim")
    with pytest.raises(TokenizerError):
        encode.client_prompt("\ud800", None)
    with pytest.raises(ContextLengthError):
        encode.client_prompt(rendered(FORMATS["sweep"].lay_out(at("‸" + "x" * 200_000))), None)
