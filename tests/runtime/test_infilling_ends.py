"""Where a middle ends, on the small trained model: confidence, lines, what the suffix repeats."""

from __future__ import annotations

import numpy as np
import pytest

import halfbyte
from halfbyte.prompt.infill import require_format

PREFIX, SUFFIX = "def add(a, b):\n    ", "\n\nprint(add(1, 2))\n"


def probabilities(model: halfbyte.Model, done: halfbyte.Infilling) -> list[float]:
    """Of the tokens of an answer without healing, by the model's logits."""
    order = done.order
    prompt = require_format(model.tokenizer).prompt(PREFIX, SUFFIX, order=order).tokens
    logits = model.logits([*prompt, *done.tokens]).astype(np.float64)[len(prompt) - 1 :]
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    return [float(row[token]) for row, token in zip(probs, done.tokens, strict=False)]


def test_the_result_tells_how_sure_the_model_is(infill_model: halfbyte.Model) -> None:
    for params in ({}, {"temperature": 0.8, "seed": 4, "top_k": 9, "repetition_penalty": 1.2}):
        done = infill_model.infill(
            PREFIX, SUFFIX, order="psm", heal=False, max_tokens=6, confidence=True, **params
        )
        expected = probabilities(infill_model, done)
        assert done.finish_reason == "length"
        assert done.first_token_probability == pytest.approx(expected[0], rel=1e-6)
        mean = float(np.exp(np.mean(np.log(expected))))
        assert done.mean_probability == pytest.approx(mean, rel=1e-6)
    plain = infill_model.infill(PREFIX, SUFFIX, max_tokens=2)
    assert (plain.first_token_probability, plain.mean_probability) == (None, None)


@pytest.mark.parametrize("heal", [True, False])
@pytest.mark.parametrize("prefix", [PREFIX, PREFIX + "retu", PREFIX + "return a"])
def test_an_unlikely_beginning_ends_it_at_once(
    infill_model: halfbyte.Model, prefix: str, heal: bool
) -> None:
    how = {"heal": heal, "max_tokens": 8, "reuse_answer": False}
    done = infill_model.infill(prefix, SUFFIX, confidence=True, **how)
    first = done.first_token_probability
    assert first is not None and 0 < first < 1 and done.text
    least = infill_model.infill(prefix, SUFFIX, min_confidence=first * 0.99, **how)
    assert (least.text, least.first_token_probability) == (done.text, first)
    none = infill_model.infill(prefix, SUFFIX, min_confidence=min(first * 1.01, 1), **how)
    assert (none.text, none.finish_reason, none.first_token_probability) == (
        "", "confidence", first,
    )  # fmt: skip
    stream = infill_model.stream_infill(prefix, SUFFIX, min_confidence=min(first * 1.01, 1), **how)
    assert list(stream) == []


def test_a_healed_word_counts_with_its_share(infill_model: halfbyte.Model) -> None:
    """Of all that "retu" may become, "return" is nearly all."""
    done = infill_model.infill(PREFIX + "retu", SUFFIX, confidence=True, max_tokens=1)
    assert done.healed and done.text.startswith("rn")
    assert done.first_token_probability is not None and done.first_token_probability > 0.9


def test_a_line(infill_model: halfbyte.Model) -> None:
    free = infill_model.infill("import os\n", "", max_tokens=30, trim_suffix=False)
    assert "\n" in free.text.lstrip()
    n = len(free.text) - len(free.text.lstrip())
    line = free.text[: free.text.index("\n", n)]
    done = infill_model.infill("import os\n", "", max_tokens=30, single_line=True)
    assert (done.text, done.finish_reason) == (line, "stop")
    assert "".join(infill_model.stream_infill("import os\n", "", single_line=True)) == line


def test_the_suffix_is_not_repeated(infill_model: halfbyte.Model) -> None:
    # Of a window of one token, the suffix has none: what the model writes anyway stands in it.
    how = {"max_tokens": 30, "window": 1, "heal": False, "order": "psm"}
    free = infill_model.infill("import os\n", "nothing\n", **how).text
    last = free[free.rstrip().rindex("\n") :].rstrip("\n")
    assert last.strip().isprintable() and any(char.isalnum() for char in last)
    suffix = free[-len(last) :] + "\n"
    raw = infill_model.infill("import os\n", suffix, **how, trim_suffix=False)
    assert (raw.text, raw.trimmed) == (free, "")
    cut = infill_model.infill("import os\n", suffix, **how)
    assert (cut.text, cut.trimmed) == (free[: -len(last)], free[-len(last) :])
    assert cut.tokens == raw.tokens and cut.full_text == "import os\n" + free + "\n"
    assert "".join(infill_model.stream_infill("import os\n", suffix, **how)) == cut.text


def test_bad_values(infill_model: halfbyte.Model) -> None:
    for call in (infill_model.infill, infill_model.stream_infill):
        with pytest.raises(halfbyte.RequestError) as caught:
            call("a", "b", min_confidence=2)
        assert caught.value.param == "min_confidence"
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.complete("a", min_confidence=0.5)  # type: ignore[call-overload]
    assert caught.value.param == "min_confidence"
