"""What a request begins with, checked against the context before and after it is encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte.errors import ContextLengthError, RequestError, TemplateError
from halfbyte.gguf.file import GGUFFile
from halfbyte.models import catalogue
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    with GGUFFile.open(catalogue.resolve("infill-10m")) as file:
        return Tokenizer.from_gguf(file)


def complete(encoder: PromptEncoder, prompt: str | list[int]) -> list[int]:
    return encoder.completion(prompt, "prompt", heal=False, parse_markers=False).tokens


def test_a_prompt_leaves_room_for_one_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a = b + c")
    assert complete(PromptEncoder(tokenizer, len(ids) + 1), "a = b + c") == ids
    for prompt in ("a = b + c", ids):
        with pytest.raises(ContextLengthError) as caught:
            complete(PromptEncoder(tokenizer, len(ids)), prompt)
        assert (caught.value.param, caught.value.n_tokens) == ("prompt", len(ids) + 1)


def test_a_text_that_cannot_fit_is_not_encoded(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "encode", lambda *args, **kwargs: pytest.fail("encoded"))
    encoder, huge = PromptEncoder(tokenizer, 16), "x" * (17 * tokenizer.max_piece_nbytes)
    options = {"order": "auto", "heal": True, "repository": None, "parse_markers": False}
    for call in (
        lambda: complete(encoder, huge),
        lambda: encoder.infilling("", huge, **options),
        lambda: encoder.chat([{"role": "user", "content": huge}], format="llama-2",
                             parse_markers=False),
    ):  # fmt: skip
        with pytest.raises(ContextLengthError):
            call()


def test_what_a_template_renders_is_bounded_before_it_is_encoded(
    vocabularies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, vocabularies.packaged_model())
        writer.add_chat_template("{% for m in messages %}{{ m.content * 500000 }}{% endfor %}")

    tokenizer = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    monkeypatch.setattr(Tokenizer, "encode_rendered", lambda *args: pytest.fail("encoded"))
    messages = [{"role": "user", "content": "a"}]
    with pytest.raises(ContextLengthError) as caught:
        PromptEncoder(tokenizer, 1000).chat(messages, format="auto", parse_markers=False)
    assert caught.value.param == "messages"
    with pytest.raises(TemplateError, match="characters"):  # whatever the context
        PromptEncoder(tokenizer, 10**9).chat(messages * 3, format="auto", parse_markers=False)


def test_an_empty_prompt_says_what_to_give_instead(tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match="bos_id"):
        complete(PromptEncoder(tokenizer, 16), "")
