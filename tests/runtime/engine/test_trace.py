"""What a trace shows, against the same forward pass in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.trace import Trace, Tracer
from halfbyte.kernels.pool import Pool

WINDOW = dataclasses.replace(small.SHAPES["F32"], sliding_window=50)
SHAPES = {name: small.SHAPES[name] for name in ("F32", "Qwen2", "Qwen3", "Llama3", "LFM2")}
SHAPES["window"] = WINDOW
SHAPES["latents"] = dataclasses.replace(small.LATENTS, kv_type="f32")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.close()


def trace(engine: Engine, tokens: list[int], **wanted: bool) -> Trace:
    tracer = Tracer(engine, tokens, **{"attentions": True, "layer_logits": True, **wanted})
    while not tracer.is_done:
        tracer.step()
    return tracer.trace


def distance(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest number."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", SHAPES)
def test_a_trace_is_the_forward_pass(pool: Pool, name: str) -> None:
    model = small.build(SHAPES[name], pool)
    tokens = model.tokens(140)
    got, expected = trace(model.engine(pool), tokens), small.reference(model, tokens)
    states = np.array([*expected.states[:-1], expected.normed])
    assert distance(got.hidden_states, states) < 2e-5
    assert distance(got.attentions, np.array(expected.attentions)) < 2e-5
    assert distance(got.logits, expected.logits) < 2e-5
    assert np.array_equal(got.layer_logits[-1], got.logits)
    assert not np.array_equal(got.layer_logits[0], got.logits)
    assert (got.attentions[:, :, 3, 4:] == 0).all()


def test_scores_are_capped_as_the_model_caps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which only Gemma 2 has any: the sums beside its kernels."""
    c = dataclasses.replace(small.SHAPES["F32"].config(), attn_softcap=2.0)
    rng = np.random.default_rng(5)
    q = 3 * rng.standard_normal((4, c.q_dim)).astype(np.float32)
    keys = 3 * rng.standard_normal((c.n_kv_heads, 4, c.head_dim)).astype(np.float32)
    tracer = Tracer.__new__(Tracer)
    weights = SimpleNamespace(sinks=lambda layer, n: np.full((n, 1, 1), -np.inf))
    tracer._engine = SimpleNamespace(config=c, weights=weights, rows=lambda *a: q)
    monkeypatch.setattr(Tracer, "_keys", lambda self, layer, n: keys)
    for head, got in enumerate(tracer._weights(0, slice(0, 4))):
        own = q.reshape(4, c.n_heads, c.head_dim)[:, head].astype(np.float64)
        scores = own @ keys[head // c.group].T.astype(np.float64) / np.sqrt(c.head_dim)
        e = np.tril(np.exp(2 * np.tanh(scores / 2)))
        np.testing.assert_allclose(got, e / e.sum(-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_attention_is_that_of_the_keys_that_codes_mean(pool: Pool, name: str) -> None:
    model = small.build(small.SHAPES[name], pool)
    tokens = model.tokens(140)
    got = trace(model.engine(pool), tokens)
    expected = small.reference(model, tokens, rounds=True)
    # Queries are bytes in the kernels, and floats in a trace.
    assert distance(got.attentions, np.array(expected.attentions)) < 2e-2
    exact = np.array(small.reference(model, tokens).attentions)
    assert distance(got.attentions[:1], exact[:1]) < {"int8": 0.01, "int4": 0.06}[name]


@pytest.mark.parametrize("name", ["mix", "Q4_0"])
@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 300])
def test_its_bits_are_those_of_a_step(pool: Pool, name: str, n: int) -> None:
    """In whatever chunks they come; a chunk of one token too."""
    model = small.build(small.SHAPES[name], pool)
    engine, tokens = model.engine(pool), model.tokens(n)
    got = trace(engine, tokens)
    chunks = [min(100, n - i) for i in range(0, n, 100)]
    assert np.array_equal(got.logits, small.run(engine, tokens, chunks))
    hidden = np.zeros((n, model.config.dim), np.float32)
    sequence = engine.new_sequence()
    for i in range(0, n, 100):
        part = tokens[i : i + 100]
        rows = hidden[i : i + 100]
        logits = engine.forward([Span(sequence, part, len(part), is_hidden=True)], hidden=rows)
        assert logits.shape == (0, model.config.vocab_size)
    assert np.array_equal(got.hidden_states[-1], hidden)
    first = trace(engine, tokens[: n // 2 + 1])
    assert np.array_equal(first.hidden_states, got.hidden_states[:, : n // 2 + 1])
    assert np.array_equal(first.layer_logits, got.layer_logits[:, : n // 2 + 1])


def test_what_is_not_asked_for_is_not_there(pool: Pool) -> None:
    model = small.build(WINDOW, pool)
    got = trace(model.engine(pool), model.tokens(5), attentions=False, layer_logits=False)
    assert got.attentions is None and got.layer_logits is None
    assert repr(got) == "Trace(5 tokens: hidden_states 3x5x48, logits 5x70)"
    assert np.array_equal(got.logits, trace(model.engine(pool), model.tokens(5)).logits)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_logits_and_hidden_states_share_a_step(pool: Pool, order: tuple[int, ...]) -> None:
    model = small.build(small.SHAPES["Q8_0"], pool)
    engine = model.engine(pool)
    texts = [model.tokens(n, seed=n) for n in (7, 1, 20)]
    is_hidden = [False, True, True]
    n_out = [2, 1, 15]
    alone = [trace(engine, tokens) for tokens in texts]
    spans = [Span(engine.new_sequence(), texts[i], n_out[i], is_hidden=is_hidden[i]) for i in order]
    hidden = np.zeros((16, model.config.dim), np.float32)
    logits = engine.forward(spans, hidden=hidden)
    assert np.array_equal(logits, alone[0].logits[-2:])
    at = 0
    for i in (i for i in order if is_hidden[i]):
        expected = alone[i].hidden_states[-1][-n_out[i] :]
        assert np.array_equal(hidden[at : at + n_out[i]], expected)
        at += n_out[i]
