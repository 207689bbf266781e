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
    for call in (
        lambda: complete(encoder, huge),
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


# --- BOS ---------------------------------------------------


def test_bos_in_a_text_is_text_and_gets_a_word(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = PromptEncoder(tokenizer, 64)
    tokens = complete(encoder, "<s>[INST] a")
    assert tokens == tokenizer.encode("<s>[INST] a")
    assert tokens.count(1) == 1 and len(tokens) > 1 + len(tokenizer.encode_fragment("[INST] a"))
    (record,) = caplog.records
    assert "prompt begins with <s>" in record.getMessage()
    assert "parse_markers=True" in record.getMessage()
    caplog.clear()
    complete(encoder, "a <s>")
    assert not caplog.records


def test_bos_that_is_meant_is_there_once(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = PromptEncoder(tokenizer, 64, ["infill-10m"])
    made = encoder.completion("<s>a = b", "prompt", heal=False, parse_markers=True)
    assert made.tokens == tokenizer.encode("a = b")
    assert "prompt begins with <s>: BOS is put there once" in caplog.text
    assert encoder.completion("<s>", "prompt", heal=True, parse_markers=True).tokens == [1]
    how: dict[str, Any] = {"order": "psm", "heal": False, "repository": None}
    one = encoder.infilling("<s>a", "b", parse_markers=True, **how)
    assert one.tokens == encoder.infilling("a", "b", parse_markers=True, **how).tokens
    assert (one.prefix, one.n_prefix_dropped) == ("<s>a", 0)


@pytest.mark.parametrize("add_bos", [True, False])
def test_byte_level_prompts_have_one_bos(
    tmp_path: Path, vocabularies: Any, caplog: pytest.LogCaptureFixture, add_bos: bool
) -> None:
    """Where a vocabulary reads every special token from text, two would come of it."""
    made = vocabularies.train_byte_level("llama-bpe", ("<|begin_of_text|>", "<|eot_id|>"))

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_bos_token_id(made.id_of("<|begin_of_text|>"))
        writer.add_add_bos_token(add_bos)

    tokenizer = Tokenizer.from_path(made.write(tmp_path / "m.gguf", fill=fill))
    encoder, text = PromptEncoder(tokenizer, 64), "<|begin_of_text|>x = 1<|eot_id|>"
    meant = encoder.completion(text, "prompt", heal=False, parse_markers=True).tokens
    assert meant == made.tokenizer(parses=True).encode(text, add_special_tokens=False).ids
    caplog.clear()
    plain = made.tokenizer(parses=False).encode(text, add_special_tokens=False).ids
    got = complete(encoder, text)
    assert got == [made.id_of("<|begin_of_text|>")] * add_bos + plain
    assert bool(caplog.records) == add_bos
