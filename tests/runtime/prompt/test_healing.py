"""Token healing: what is taken back, and how the model's tokens spell it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfbyte
from halfbyte.prompt.healing import MAX_HEALED, n_healed
from halfbyte.prompt.infill import Repository, require_format
from halfbyte.tokenizer import Tokenizer

PROMPT = "def add(a, b):\n    retu"
PRE, SUF, MID, EOT = 8007, 8008, 8009, 8010


def spelled(tokenizer: Tokenizer, ids: Sequence[int]) -> bytes:
    return b"".join(tokenizer.token_bytes(i) for i in ids)


WORDS = st.lists(
    st.sampled_from(
        ["retu", "def ", "self.", "x", "\n", "  ", "(", "_", "é", "日", "\r", "0", "\t", "im", "="]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    max_size=6,
).map("".join)


@settings(max_examples=40)
@given(WORDS)
def test_what_is_taken_back(naive: Any, text: str) -> None:
    tokenizer = naive.tokenizer
    ids = tokenizer.encode(text)
    n = n_healed(tokenizer, ids, n_text=len(ids))
    n_kept, tail = naive.tail(ids)
    assert n == len(ids) - n_kept and tail == spelled(tokenizer, ids[n_kept:])
    assert b"\n" not in tail and n_kept >= 1  # BOS stays
    assert n <= MAX_HEALED == 8
    for n_text in range(4):
        assert n_healed(tokenizer, ids, n_text=n_text) == min(n, n_text)


def test_no_more_than_eight_tokens_are_taken_back(trained_on_one_letter: Tokenizer) -> None:
    tokenizer = trained_on_one_letter
    byte = tokenizer.id_of("<0x61>")
    assert byte is not None
    assert n_healed(tokenizer, [1, *[byte] * 12], n_text=13) == 8
    assert n_healed(tokenizer, [1, *[byte] * 7], n_text=8) == 7
    assert n_healed(tokenizer, [], n_text=0) == 0


@pytest.fixture(scope="module")
def trained_on_one_letter(tmp_path_factory: pytest.TempPathFactory, vocabularies: Any) -> Tokenizer:
    """Bytes, and one word of 20 letters."""
    model = vocabularies.packaged_model()
    del model.pieces[259:]
    model.pieces.add(piece="a" * 20, score=-1.0, type=1)
    path = tmp_path_factory.mktemp("a") / "m.gguf"
    return Tokenizer.from_path(vocabularies.write_sentencepiece(path, model))


def test_markers_and_control_tokens_extend_nothing(naive: Any) -> None:
    """What looks like the beginning of a marker is no beginning of text."""
    tokenizer = naive.tokenizer
    for text in ("x <PR", "x <EO", "</", "<s"):
        ids = tokenizer.encode(text)
        n_kept, tail = naive.tail(ids)
        assert n_healed(tokenizer, ids, n_text=len(ids)) == len(ids) - n_kept
        assert b"<PR" not in tail and b"<EO" not in tail
        found = tokenizer.piece_index.beginning_with(b"<").tolist()
        assert found and not tokenizer.marker_ids.intersection(found)


# --- complete -------------------------------------------------------------------------------


def test_a_word_is_finished(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete(PROMPT, max_tokens=8)
    assert done.healed == "retu" and done.text.startswith("rn")
    plain = infill_model.complete(PROMPT, max_tokens=8, heal=False)
    assert plain.healed == "" and not plain.text.startswith("rn")


@pytest.mark.parametrize(
    "prompt", [PROMPT, "import o", "x = sel", "for i in ra", "def f(self, na", "print(", "a", "x\n"]
)
def test_greedy_healing_takes_the_likeliest_covering(
    infill_model: halfbyte.Model, naive: Any, prompt: str
) -> None:
    ids = infill_model.tokenizer.encode(prompt)
    n_kept, tail = naive.tail(ids)
    tokens, text = naive.greedy(infill_model, ids[:n_kept], tail, 6)
    done = infill_model.complete(prompt, max_tokens=6)
    assert (done.tokens, done.text, done.healed) == (tokens, text, tail.decode())
    assert done.stats.n_prompt == n_kept
    kept = spelled(infill_model.tokenizer, ids[:n_kept])
    assert (kept + tail).decode().removeprefix(" ") == prompt


def test_without_healing_the_ids_are_the_prompt(infill_model: halfbyte.Model) -> None:
    ids = infill_model.tokenizer.encode(PROMPT)
    plain = infill_model.complete(PROMPT, max_tokens=6, heal=False)
    given_ids = infill_model.complete(ids, max_tokens=6)
    for done in (plain, given_ids):
        assert (done.stats.n_prompt, done.healed) == (len(ids), "")
    assert plain.tokens == given_ids.tokens


def test_a_prompt_keeps_a_token(
    tmp_path: Path, infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it has no BOS, and all of it could be taken back."""
    tokenizer = infill_model.tokenizer
    monkeypatch.setattr(tokenizer, "add_bos", False)
    ids = tokenizer.encode("retu")
    assert ids[0] != 1 and n_healed(tokenizer, ids, n_text=len(ids)) == len(ids)
    done = infill_model.complete("retu", max_tokens=1)
    assert done.stats.n_prompt == 1
    assert done.healed == spelled(tokenizer, ids[1:]).decode()


def test_max_tokens_are_those_after_the_users_text(
    infill_model: halfbyte.Model, naive: Any
) -> None:
    lengths = []
    for prompt in (PROMPT, "print(", "zq", "x = sel", "x\n"):
        tail = naive.tail(infill_model.tokenizer.encode(prompt))[1]
        for n in (0, 1, 2, 5):
            done = infill_model.complete(prompt, max_tokens=n)
            beyond, at = 0, 0
            for token in done.tokens:
                at += len(infill_model.tokenizer.token_bytes(token))
                beyond += at > len(tail)
            assert (beyond, done.finish_reason) == (n, "length")
            assert (at > len(tail)) == (n > 0)
            lengths.append(len(done.tokens) - beyond)
    assert max(lengths) > 0  # some tokens did nothing but spell


def n_spelling(tokenizer: Tokenizer, done: halfbyte.Completion) -> int:
    """How many tokens begin in the text that was taken back."""
    nbytes = [len(tokenizer.token_bytes(i)) for i in done.tokens]
    return sum(sum(nbytes[:i]) < len(done.healed) for i in range(len(nbytes)))


@pytest.mark.parametrize("stop", ["r", "retu", "tu", "e", "return", "turn", "n"])
def test_stop_strings_are_looked_for_after_the_users_text(
    infill_model: halfbyte.Model, stop: str
) -> None:
    free = infill_model.complete(PROMPT, max_tokens=8)
    assert free.healed + free.text[:2] == "return"
    stopped = infill_model.complete(PROMPT, max_tokens=8, stop=stop)
    cut = free.text.find(stop)
    assert stopped.text == (free.text if cut < 0 else free.text[:cut])
    assert stopped.finish_reason == ("length" if cut < 0 else "stop")


def test_stop_tokens_are_looked_for_after_the_users_text(infill_model: halfbyte.Model) -> None:
    def infill(*stop_tokens: int) -> halfbyte.Infilling:
        return infill_model.infill(
            "import o", "\n", order="psm", max_tokens=4, stop_tokens=stop_tokens
        )

    free = infill()
    n = n_spelling(infill_model.tokenizer, free)
    assert n == 1 and free.tokens[0] not in free.tokens[1:]
    assert spelled(infill_model.tokenizer, free.tokens[:n]).decode() == free.healed
    assert infill(*free.tokens[:n]).tokens == free.tokens
    stopped = infill(free.tokens[n])
    assert (stopped.tokens, stopped.finish_reason) == (free.tokens[:n], "stop")


@pytest.mark.parametrize("params", [{}, {"temperature": 0.9, "seed": 5}, {"stop": "\n"}])
def test_streams_and_lists_heal_alike(infill_model: halfbyte.Model, params: dict[str, Any]) -> None:
    prompts = [PROMPT, "import o", "x = [1, 2", "a" * 30, "for i in ra"]

    def seeded(i: int) -> dict[str, Any]:  # as prompt i of a list is
        return params | ({"seed": params["seed"] + i} if "seed" in params else {})

    alone = [infill_model.complete(p, max_tokens=8, **seeded(i)) for i, p in enumerate(prompts)]
    assert sum(done.healed != "" for done in alone) >= 3
    together = infill_model.complete(prompts, max_tokens=8, **params)
    for i, (prompt, one, other) in enumerate(zip(prompts, alone, together, strict=True)):
        assert (one.tokens, one.text, one.healed) == (other.tokens, other.text, other.healed)
        stream = infill_model.stream(prompt, max_tokens=8, **seeded(i))
        assert "".join(stream) == one.text
        assert stream.completion is not None and stream.completion.tokens == one.tokens


def test_sampling_heals_and_repeats_with_its_seed(infill_model: halfbyte.Model) -> None:
    def sample(seed: int, **params: Any) -> halfbyte.Completion:
        return infill_model.complete(PROMPT, max_tokens=6, temperature=1.5, seed=seed, **params)

    filters: list[dict[str, Any]] = [
        {}, {"top_k": 2}, {"top_p": 0.3}, {"min_p": 0.5}, {"repetition_penalty": 1.5},
        {"presence_penalty": 2.0}, {"frequency_penalty": -2.0},
    ]  # fmt: skip
    texts = set()
    for params in filters:
        for seed in range(4):
            done = sample(seed, **params)
            assert done.tokens == sample(seed, **params).tokens
            text = spelled(infill_model.tokenizer, done.tokens).decode(errors="replace")
            assert text.startswith("retu") and text[4:] == done.text
            texts.add(done.text)
    assert len(texts) > 4


def test_a_draw_follows_the_coverings_probabilities(
    infill_model: halfbyte.Model, naive: Any
) -> None:
    prompt, n = "print(", 160
    ids = infill_model.tokenizer.encode(prompt)
    n_kept, tail = naive.tail(ids)
    scores, paths = zip(*naive.coverings(infill_model, ids[:n_kept], tail), strict=True)
    probs = np.exp(scores) / np.exp(scores).sum()
    expected = {tuple(path): prob for path, prob in zip(paths, probs, strict=True)}
    done = infill_model.complete([prompt] * n, max_tokens=1, temperature=1.0, seed=0)
    drawn = [next(path for path in expected if (*d.tokens,)[: len(path)] == path) for d in done]
    # As often as it should be, within four standard deviations.
    for path, prob in expected.items():
        assert abs(drawn.count(path) - n * prob) <= 1 + 4 * (n * prob * (1 - prob)) ** 0.5
    assert len(set(drawn)) == 3


def test_only_the_end_of_a_long_text_is_taken_back(infill_model: halfbyte.Model) -> None:
    ids = infill_model.tokenizer.encode("x = 1\n" * 20 + "retu")
    done = infill_model.complete("x = 1\n" * 20 + "retu", max_tokens=1)
    assert done.healed == "retu" and done.stats.n_prompt >= len(ids) - 4


# --- infill ---------------------------------------------------------------------------------

SUFFIX = "\n\nprint(add(1, 2))\n"


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize("prefix", [PROMPT, "retu", "x = sel", "", "\n", "import os\n\nimport s"])
def test_infilling_heals_in_both_orders(
    infill_model: halfbyte.Model, naive: Any, order: str, prefix: str
) -> None:
    tokenizer = infill_model.tokenizer
    p = tokenizer.encode(prefix, add_bos=False)
    s = tokenizer.encode_fragment(SUFFIX)
    n_kept, tail = naive.tail(p)
    kept = p[:n_kept]
    if order == "psm":
        ids = [1, PRE, *kept, SUF, *s, MID]
        # What follows the marker is a middle of its own, with no space put before it.
        tail = tail.removeprefix(b" ") if not kept else tail
    else:
        ids = [1, PRE, SUF, *s, MID, *kept]
    form = require_format(tokenizer)
    prompt = form.prompt(prefix, SUFFIX, order=order, heal=True)
    assert (prompt.tokens, spelled(tokenizer, prompt.taken_back)) == (ids, tail)
    tokens, text = naive.greedy(infill_model, ids, tail, 5)
    done = infill_model.infill(prefix, SUFFIX, order=order, max_tokens=5)
    assert (done.tokens, done.text, done.healed) == (tokens, text, tail.decode())
    assert done.full_text == prefix + text + SUFFIX


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_infilling_finishes_a_word(infill_model: halfbyte.Model, order: str) -> None:
    for prefix in (PROMPT, "retu"):
        done = infill_model.infill(prefix, SUFFIX, order=order, max_tokens=4)
        assert done.text.startswith("rn") and done.healed.strip() == "retu"


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize("first", ["x\nimport o", "import o", "", "imp"])
def test_other_files_are_not_taken_back(
    infill_model: halfbyte.Model, order: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's cursor is in the prefix; what stands before it is context."""
    tokenizer = infill_model.tokenizer
    form = require_format(tokenizer)
    # Other files end in an empty line, which nothing passes; this one does not.
    monkeypatch.setattr("halfbyte.prompt.infill._plain_context", lambda repository, mark: "x = sel")
    prompt = form.prompt(first, "y", order=order, heal=True, repository=Repository())
    whole = tokenizer.encode(f"x = sel{first}", add_bos=False)
    text = spelled(tokenizer, prompt.taken_back)
    assert first.encode().endswith(text)
    kept = [i for i in prompt.tokens if i < 8000][1:]
    rest = spelled(tokenizer, kept).replace(spelled(tokenizer, tokenizer.encode_fragment("y")), b"")
    assert rest + text == spelled(tokenizer, whole)


def test_families_of_bytes_heal(tmp_path: Path, vocabularies: Any, naive: Any) -> None:
    specials = (
        "<|endoftext|>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|file_sep|>",
    )
    made = vocabularies.train_byte_level("qwen2", specials, 600)
    path = made.write(
        tmp_path / "m.gguf", special_type=4, pieces=["čĊ"]
    )  # carriage return, newline
    tokenizer = Tokenizer.from_path(path)
    form, slow, plain = (
        require_format(tokenizer),
        type(naive)(tokenizer),
        made.tokenizer(parses=False),
    )
    pre, mid, suf = (made.id_of(f"<|fim_{name}|>") for name in ("prefix", "middle", "suffix"))
    seen = set()
    for prefix in ("def f(vocab", "tokenize", "日", "x\n", "x\r", "", "\n  tok", "<|fim_pre", "<|"):
        p = plain.encode(prefix).ids
        n_kept, tail = slow.tail(p)
        prompt = form.prompt(prefix, "y", heal=True)
        assert prompt.tokens == [pre, *p[:n_kept], suf, *plain.encode("y").ids, mid]
        assert spelled(tokenizer, prompt.taken_back) == tail
        seen.add(tail)
    assert len(seen) > 2


def test_the_context_ends_where_it_ends(infill_model: halfbyte.Model) -> None:
    """Tokens that only spell the user's text take their places in it too."""
    # Nothing but the end of the context stops the text.
    n_ctx, text = infill_model.n_ctx, "x = 1\n" * 100 + "retu"
    done = infill_model.complete(text, max_tokens=n_ctx, temperature=1.0, seed=1)
    n_prompt = done.stats.n_prompt
    assert n_prompt < len(infill_model.tokenizer.encode(text)) and done.healed == "retu"
    assert (done.finish_reason, n_prompt + len(done.tokens)) == ("context", n_ctx)
