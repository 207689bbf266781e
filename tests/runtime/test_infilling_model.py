"""Infilling and chat end to end, on the small trained model that the package brings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from sentencepiece import sentencepiece_model_pb2 as spm

import halfbyte
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import Sampler
from halfbyte.prompt.infill import require_format

PREFIX, SUFFIX = "def add(a, b):\n    ", "\n\nprint(add(1, 2))\n"
EOT = 8010
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def random_model(tiny_gguf: Path) -> Iterator[halfbyte.Model]:
    """A model without infilling tokens or a chat template."""
    with halfbyte.load(tiny_gguf, threads=1) as model:
        yield model


@pytest.mark.parametrize("order", ["auto", "psm", "spm"])
@pytest.mark.parametrize("prefix", [PREFIX, "def add(a, b):\n    retu", "", "x"])
@pytest.mark.parametrize("suffix", [SUFFIX, "", "\n"])
def test_the_whole_text_is_the_three_parts(
    infill_model: halfbyte.Model, order: str, prefix: str, suffix: str
) -> None:
    done = infill_model.infill(prefix, suffix, order=order, max_tokens=8, reuse_answer=False)
    assert (done.prefix, done.suffix) == (prefix, suffix)
    assert done.full_text == prefix + done.text + suffix
    is_mid_line = bool(prefix.rpartition("\n")[2].strip())
    assert done.order == {"auto": "spm" if is_mid_line else "psm"}.get(order, order)
    assert done.finish_reason in ("length", "stop")
    assert isinstance(done, halfbyte.Infilling) and isinstance(done, halfbyte.Completion)


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_without_healing_the_prompt_is_the_references(
    infill_model: halfbyte.Model, order: str
) -> None:
    prompt = require_format(infill_model.tokenizer).prompt(PREFIX, SUFFIX, order=order)
    done = infill_model.infill(PREFIX, SUFFIX, order=order, heal=False, max_tokens=10)
    by_ids = infill_model.complete(prompt.tokens, max_tokens=10)
    assert (done.tokens, done.text) == (by_ids.tokens, by_ids.text)
    assert done.stats.n_prompt == len(prompt.tokens) and done.healed == ""


def test_a_middle_ends_at_its_marker(infill_model: halfbyte.Model) -> None:
    """The tokens are those that the sampler draws from the logits, up to EOT or EOS."""
    prompt = require_format(infill_model.tokenizer).prompt(PREFIX, SUFFIX, order="psm").tokens
    ends = []
    for seed in range(12):
        params = SamplingParams(temperature=1.3, seed=seed, max_tokens=40)
        done = infill_model.infill(
            PREFIX, SUFFIX, order="psm", heal=False, temperature=1.3, seed=seed, max_tokens=40
        )
        sampler = Sampler(params, 8016, prompt)
        rows = infill_model.logits([*prompt, *done.tokens])[len(prompt) - 1 :]
        drawn = [sampler.sample(row) for row in rows]
        if done.finish_reason == "stop":
            ends.append(drawn[-1])
            assert drawn[-1] in (EOT, 2) and "<EOT>" not in done.text
        assert done.tokens == drawn[:-1] and not {EOT, 2}.intersection(done.tokens)
    assert EOT in ends and len(ends) < 12


def test_a_familys_own_ends_are_ends_of_middles_only(
    infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = infill_model.infill(PREFIX, SUFFIX, order="psm", heal=False, max_tokens=6)
    end = free.tokens[4]
    assert end not in free.tokens[:4]
    # As a file's key may name it.
    monkeypatch.setitem(infill_model.tokenizer.vocabulary.special, "fim_pad", end)
    done = infill_model.infill(PREFIX, SUFFIX, order="psm", heal=False, max_tokens=6)
    assert (done.tokens, done.finish_reason) == (free.tokens[:4], "stop")
    prompt = require_format(infill_model.tokenizer).prompt(PREFIX, SUFFIX, order="psm").tokens
    assert infill_model.complete(prompt, max_tokens=6).tokens == free.tokens


def test_the_middles_spaces_are_kept(infill_model: halfbyte.Model) -> None:
    done = infill_model.infill("x =", "\n", order="psm", max_tokens=3, heal=False)
    first = infill_model.tokenizer.token_bytes(done.tokens[0])
    assert done.text.encode().startswith(first)


def test_one_marked_text_is_prefix_and_suffix(infill_model: halfbyte.Model) -> None:
    two = infill_model.infill(PREFIX, SUFFIX, max_tokens=6)
    one = infill_model.infill(f"{PREFIX}<FILL_ME>{SUFFIX}", max_tokens=6)
    assert (one.tokens, one.prefix, one.suffix) == (two.tokens, PREFIX, SUFFIX)
    stream = infill_model.stream_infill(f"{PREFIX}<FILL_ME>{SUFFIX}", max_tokens=6)
    assert "".join(stream) == two.text
    # With a suffix given, the mark is text like any other.
    text = infill_model.infill("a<FILL_ME>b", "", max_tokens=1)
    assert text.full_text.startswith("a<FILL_ME>b")


def test_where_the_mark_is_taken_as_text_it_is_said(
    infill_model: halfbyte.Model, caplog: pytest.LogCaptureFixture
) -> None:
    infill_model.complete("a<FILL_ME>b", max_tokens=1)
    assert "infill(prompt) fills it" in caplog.text
    caplog.clear()
    infill_model.infill("a<FILL_ME>b", max_tokens=1)
    # Where the cursor is given there is no doubt.
    infill_model.infill("a<FILL_ME>b", "c", max_tokens=1)
    infill_model.infill("a", "b<FILL_ME>c", max_tokens=1)
    infill_model.complete("a FILL_ME b", max_tokens=1)
    assert not caplog.records


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize("params", [{}, {"temperature": 1.0, "seed": 3}, {"stop": "("}])
def test_the_stream_is_the_infilling_in_pieces(
    infill_model: halfbyte.Model, order: str, params: dict[str, Any]
) -> None:
    for prefix in (PREFIX, "def add(a, b):\n    retu"):
        whole = infill_model.infill(prefix, SUFFIX, order=order, max_tokens=12, **params)
        stream = infill_model.stream_infill(prefix, SUFFIX, order=order, max_tokens=12, **params)
        assert stream.completion is None
        pieces = list(stream)
        assert all(pieces) and "".join(pieces) == whole.text
        assert stream.completion is not None
        assert stream.completion.tokens == whole.tokens
        assert stream.completion.full_text == whole.full_text
        assert stream.completion.order == order


def test_other_files_are_seen(infill_model: halfbyte.Model) -> None:
    repository = halfbyte.Repository({"zebra.py": "def stripe():\n    pass\n"}, "main.py")
    without = infill_model.infill("x = ", "\n", max_tokens=1)
    done = infill_model.infill("x = ", "\n", repository=repository, max_tokens=1)
    assert done.stats.n_prompt > without.stats.n_prompt + 10
    assert done.full_text == f"x = {done.text}\n"
    stream = infill_model.stream_infill("x = ", "\n", repository=repository, max_tokens=1)
    assert "".join(stream) == done.text
    assert stream.completion is not None
    assert stream.completion.stats.n_prompt == done.stats.n_prompt


def test_markers_in_the_text_are_text_unless_they_are_meant(
    infill_model: halfbyte.Model,
) -> None:
    form = require_format(infill_model.tokenizer)
    for parse_markers in (False, True):
        prompt = form.prompt("a <EOT>", "b", order="psm", parse_markers=parse_markers)
        assert (EOT in prompt.tokens) == parse_markers
        kwargs: dict[str, Any] = {"heal": False, "parse_markers": parse_markers, "max_tokens": 1}
        done = infill_model.infill("a <EOT>", "b", order="psm", **kwargs)
        assert done.stats.n_prompt == len(prompt.tokens)
        done = infill_model.complete("a <EOT>", **kwargs)
        ids = infill_model.tokenizer.encode("a <EOT>", parse_markers=parse_markers)
        assert done.stats.n_prompt == len(ids)


@pytest.mark.parametrize(
    ("args", "kwargs", "param"),
    [
        (("no mark",), {}, "prompt"),
        (("<FILL_ME><FILL_ME>",), {}, "prompt"),
        ((None,), {}, "prompt"),
        ((None, "b"), {}, "prefix"),
        (([1, 2], "b"), {}, "prefix"),
        (("a", 5), {}, "suffix"),
        (("a", b"b"), {}, "suffix"),
        (("a", "b"), {"order": "middle"}, "order"),
        (("a", "b"), {"order": None}, "order"),
        (("a", "b"), {"max_tokns": 3}, "max_tokns"),
        (("a", "b"), {"temperature": -1}, "temperature"),
        (("a", "b"), {"stop_tokens": [8016]}, "stop_tokens"),
        (("a", "b"), {"repository": {"a.py": "x"}}, "repository"),
        (("a", "b"), {"format": "llama-2"}, "format"),
    ],
)
def test_bad_requests_name_the_argument(
    infill_model: halfbyte.Model, args: tuple[Any, ...], kwargs: dict[str, Any], param: str
) -> None:
    for call in (infill_model.infill, infill_model.stream_infill):
        with pytest.raises(halfbyte.RequestError) as caught:
            call(*args, **kwargs)
        assert caught.value.param == param


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("\ud800", ""), "prefix: .*surrogate at 0"),
        (("", "a\udfff"), "suffix: .*surrogate at 1"),
        (("a<FILL_ME>\ud800",), "prompt: .*surrogate at 10"),
    ],
)
def test_text_that_is_no_unicode(
    infill_model: halfbyte.Model, args: tuple[str, ...], text: str
) -> None:
    for call in (infill_model.infill, infill_model.stream_infill):
        with pytest.raises(halfbyte.TokenizerError, match=text):
            call(*args)


def test_a_model_without_the_tokens_refuses(random_model: halfbyte.Model, tiny_gguf: Path) -> None:
    for call in (random_model.infill, random_model.stream_infill):
        with pytest.raises(halfbyte.UnsupportedModelError, match="Code Llama 7B and 13B") as caught:
            call("a", "b")
        assert caught.value.path == str(tiny_gguf)
    assert random_model.complete("ab", max_tokens=1).tokens


def test_the_longest_prompt_that_fits(infill_model: halfbyte.Model) -> None:
    n_ctx, form = infill_model.n_ctx, require_format(infill_model.tokenizer)
    # The longest that fits leaves one position for an answer.
    lines = "x = 1\n" * 50
    n = len(form.prompt(lines, "\n", order="psm").tokens)
    suffix = "\n" * (n_ctx - n)
    assert len(form.prompt(lines, suffix, order="psm").tokens) == n_ctx - 1
    for order in ("psm", "spm"):
        done = infill_model.infill(lines, suffix, order=order, heal=False, max_tokens=1)
        assert done.stats.n_prompt == n_ctx - 1
        assert (done.n_prefix_dropped, done.n_suffix_dropped) == (0, 0)
        longer = infill_model.infill(lines, suffix + "\n", order=order, heal=False, max_tokens=1)
        assert longer.n_prefix_dropped + longer.n_suffix_dropped > 0
        assert longer.full_text == lines + longer.text + suffix + "\n"


@pytest.mark.parametrize("where", ["prompt", "messages"])
def test_a_huge_text_is_refused_before_it_is_encoded(
    infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def encode(*args: object, **kwargs: object) -> list[int]:
        raise AssertionError("encoded")

    for name in ("encode", "encode_fragment", "encode_rendered"):
        monkeypatch.setattr(type(infill_model.tokenizer), name, encode)
    huge = "x = 1\n" * (50_000_000 // 6)
    model = infill_model
    calls: dict[str, Callable[[], object]] = {
        "prompt": lambda: model.complete(huge),
        "messages": lambda: model.chat([*HELLO, {"role": "user", "content": huge}]),
    }
    with pytest.raises(halfbyte.ContextLengthError) as caught:
        calls[where]()
    assert (caught.value.param, caught.value.n_ctx) == (where, 512)
    assert caught.value.n_tokens > 512


def test_what_is_refused_unencoded_would_not_have_fitted(infill_model: halfbyte.Model) -> None:
    """The estimate is never above the count."""
    tokenizer = infill_model.tokenizer
    for text in ("a" * 5000, " " * 5000, "語" * 2000, "return " * 700, "▁" * 2000):
        least = len(text.encode()) // tokenizer.max_piece_nbytes
        assert least <= len(tokenizer.encode_fragment(text))


# --- chat -------------------------------------------------------------------------------------


def test_a_base_model_does_not_chat_unless_it_is_told_how(
    infill_model: halfbyte.Model,
) -> None:
    for call in (infill_model.chat, infill_model.stream_chat):
        with pytest.raises(halfbyte.UnsupportedModelError, match='format="llama-2"'):
            call(HELLO)
    ids = infill_model.tokenizer.encode("[INST] hello [/INST]")
    done = infill_model.chat(HELLO, format="llama-2", max_tokens=8, temperature=0)
    assert done.tokens == infill_model.complete(ids, max_tokens=8).tokens
    assert done.stats.n_prompt == len(ids) and done.healed == ""
    stream = infill_model.stream_chat(HELLO, format="llama-2", max_tokens=8, temperature=0)
    assert "".join(stream) == done.text
    assert stream.completion is not None and stream.completion.tokens == done.tokens


@pytest.mark.parametrize(
    ("messages", "kwargs", "param"),
    [
        ([], {}, "messages"),
        ("hello", {}, "messages"),
        ([{"role": "user"}], {}, "messages[0]"),
        ([{"role": "user", "content": "[INST]"}], {"format": "llama-2"}, "messages[0]"),
        (HELLO, {"format": "llama-3"}, "format"),
        (HELLO, {"format": "llama-2", "max_tokns": 1}, "max_tokns"),
        (HELLO, {"format": "llama-2", "heal": True}, "heal"),
        ([{"role": "user", "content": "x\n" * 600}], {"format": "llama-2"}, "messages"),
    ],
)
def test_bad_chats_name_the_argument(
    infill_model: halfbyte.Model, messages: Any, kwargs: dict[str, Any], param: str
) -> None:
    for call in (infill_model.chat, infill_model.stream_chat):
        with pytest.raises(halfbyte.RequestError) as caught:
            call(messages, **kwargs)
        assert caught.value.param == param


def test_chat_ends_at_the_formats_own_token(
    tiny_folder: Path, tmp_path: Path, vocabularies: Any
) -> None:
    """In Code Llama 70B's format that is <step>, which ends no other text."""
    path = tmp_path / "step.gguf"
    rename_piece(tiny_folder, path, 299, "<step>")
    with halfbyte.load(path, threads=1) as model:
        step = model.tokenizer.id_of("<step>")
        assert step == 299 and step not in model.tokenizer.eog_ids
        for seed in range(60):
            kwargs: dict[str, Any] = {"temperature": 5.0, "seed": seed, "max_tokens": 40}
            done = model.chat([{"role": "user", "content": "ab"}], **kwargs)
            assert step not in done.tokens
        seen = [model.complete("ab", temperature=5.0, seed=s, max_tokens=40) for s in range(60)]
        assert any(step in done.tokens for done in seen)


def rename_piece(folder: Path, path: Path, token: int, text: str) -> None:
    """The model of a folder as GGUF, in which a piece is a control token of another text."""
    changed = path.with_suffix("")
    shutil.copytree(folder, changed)
    file = changed / "tokenizer.model"
    model = spm.ModelProto.FromString(file.read_bytes())
    model.pieces[token].piece, model.pieces[token].type = text, gguf.TokenType.CONTROL
    file.write_bytes(model.SerializeToString())
    halfbyte.convert(changed, path, type="q8_0", measure=False)
