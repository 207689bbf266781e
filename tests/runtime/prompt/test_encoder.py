"""What a request begins with, checked against the context before and after it is encoded."""

from __future__ import annotations

import pytest

from halfbyte.errors import ContextLengthError, RequestError
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
    for call in (
        lambda: complete(encoder, huge),
        lambda: encoder.chat([{"role": "user", "content": huge}], format="llama-2",
                             parse_markers=False),
    ):  # fmt: skip
        with pytest.raises(ContextLengthError):
            call()


def test_an_empty_prompt_says_what_to_give_instead(tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match="bos_id"):
        complete(PromptEncoder(tokenizer, 16), "")
