"""The float forward pass against transformers' answers, the engine, and what must be equal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte.converting.sources.source import open_source
from halfbyte.errors import EngineError
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.float_model import FloatModel, hidden_states
from halfbyte.quality.layer_source import F32, GGUFSource

GOLDEN: dict[str, np.ndarray] = {}
for _name in (
    "golden_llama", "golden_positions", "golden_experts", "golden_families", "golden_latents",
    "golden_recurrent", "golden_nets", "golden_mamba",
):  # fmt: skip
    with np.load(Path(__file__).parents[2] / "data" / f"{_name}.npz") as _data:
        GOLDEN |= _data
CASES = sorted({name.partition(".")[0] for name in GOLDEN})
# Of those whose numbers are read alike, one each: the engine's tests have all of them.
SOME = sorted({*CASES} - {"olmo3", "granitemoe", "granitemoeshared", "ernie4_5_moe", "apertus"})


class Tensors:
    """A source in memory."""

    def __init__(self, config: ModelConfig, tensors: dict[str, F32]) -> None:
        self.config, self.tensors = config, tensors

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def tensor(self, name: str) -> F32:
        return self.tensors[name]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(
    case: str,
    tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Callable[[str], ModuleType],
) -> Path:
    tiny_llama = benchmark_module("tiny_llama")
    path = tmp_path_factory.mktemp(case) / "hf"
    tiny_llama.save(tiny_llama.Tiny(**json.loads(str(GOLDEN[f"{case}.spec"]))), path)
    return path


def logits_of(model: FloatModel, ids: np.ndarray) -> np.ndarray:
    return np.stack(list(model.logits(hidden_states(model, ids))))


def random_source(**changes: object) -> Tensors:
    rng = np.random.default_rng(4)
    config = ModelConfig(
        architecture="llama", name="", dim=24, hidden_dim=40, n_layers=1, n_heads=4, n_kv_heads=2,
        head_dim=8, vocab_size=50, n_ctx_train=64, norm_eps=1e-5, rope=RopeConfig(100.0), tied=True,
    )  # fmt: skip
    shapes = {"attn_q": (32, 24), "attn_k": (16, 24), "attn_v": (16, 24), "attn_output": (24, 32)}
    shapes |= {"ffn_gate": (40, 24), "ffn_up": (40, 24), "ffn_down": (24, 40)}
    tensors = {
        f"blk.0.{name}.weight": rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    tensors["token_embd.weight"] = rng.normal(0, 1, (50, 24)).astype(np.float32)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        tensors[f"{name}.weight"] = rng.uniform(0.5, 1.5, 24).astype(np.float32)
    return Tensors(dataclasses.replace(config, **changes), tensors)  # type: ignore[arg-type]


def test_logits_are_those_of_transformers(case: str, folder: Path) -> None:
    ids = GOLDEN[f"{case}.ids"][None]
    got = logits_of(FloatModel(open_source(folder).layers()), ids)[0][GOLDEN[f"{case}.positions"]]
    expected = GOLDEN[f"{case}.logits"]
    assert got.dtype == np.float32 and got.shape == expected.shape
    assert np.abs(got - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("case", SOME, indirect=True)
def test_a_gguf_file_gives_what_its_folder_gives_and_what_the_engine_says(
    case: str, folder: Path
) -> None:
    path = folder.with_name("f32.gguf")
    halfbyte.convert(folder, path, type="f32", force=True, measure=False)
    ids = GOLDEN[f"{case}.ids"]
    with GGUFFile.open(path) as file:
        ours = logits_of(FloatModel(GGUFSource(file, config_from_gguf(file))), ids[None])[0]
    assert (ours == logits_of(FloatModel(open_source(folder).layers()), ids[None])[0]).all()
    with halfbyte.load(path, threads=1, kv_type="f32") as model:
        engine = model.logits(ids.tolist())
    assert np.abs(ours - engine).max() < 1e-4 * np.abs(engine).max()


def test_quantized_tensors_are_dequantized(tiny_gguf: Path) -> None:
    import gguf

    with GGUFFile.open(tiny_gguf) as file:
        source = GGUFSource(file, config_from_gguf(file))
        for tensor in gguf.GGUFReader(tiny_gguf).tensors:
            expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            got = source.tensor(tensor.name)
            assert (got == expected).all() and got.shape == tuple(tensor.shape[::-1])


@pytest.mark.parametrize("case", SOME, indirect=True)
def test_windows_do_not_see_each_other(case: str, folder: Path) -> None:
    model = FloatModel(open_source(folder).layers())
    ids = np.random.default_rng(1).integers(0, 250, (3, 37))
    together = logits_of(model, ids)
    for window, expected in zip(ids, together, strict=True):
        np.testing.assert_allclose(logits_of(model, window[None])[0], expected, atol=2e-4)


def test_long_windows_are_cut_into_blocks_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = FloatModel(random_source()), np.arange(45)[None]
    whole = hidden_states(model, ids)
    monkeypatch.setattr("halfbyte.quality.attention._N_QUERIES", 7)
    np.testing.assert_allclose(hidden_states(model, ids), whole, atol=1e-5)


def test_hooks_see_the_inputs_of_every_matrix() -> None:
    source = random_source()
    model, seen = FloatModel(source), {}
    ids = np.array([[3, 1, 4], [1, 5, 9]])
    x = hidden_states(model, ids, lambda names, x: seen.update(dict.fromkeys(names, x.copy())))
    list(model.logits(x, lambda names, x: seen.update(dict.fromkeys(names, x.copy()))))
    assert list(seen) == [f"blk.0.{n}.weight" for g in model.groups(0) for n in g] + [
        "token_embd.weight"
    ]
    for name, inputs in list(seen.items())[:-1]:
        assert inputs.shape == (6, source.tensor(name).shape[1])
    # The last matrix's inputs and the residual stream before it are all that a layer adds up.
    heads = seen["blk.0.attn_output.weight"] @ source.tensor("blk.0.attn_output.weight").T
    down = seen["blk.0.ffn_down.weight"] @ source.tensor("blk.0.ffn_down.weight").T
    embd = source.tensor("token_embd.weight")[ids].reshape(6, -1)
    np.testing.assert_allclose(embd + heads + down, x.reshape(6, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("token_embd", 3e38, "layer 0, x"), ("blk.0.attn_norm", 1e38, "layer 0, normed"),
        ("blk.0.attn_q", 1e30, "layer 0, qkv"), ("blk.0.ffn_up", 2e19, "layer 0, hidden"),
        ("output_norm", np.nan, "behind the last layer, normed"),
    ],
)  # fmt: skip
def test_numbers_that_nothing_can_be_made_of_are_an_error(
    name: str, value: float, where: str
) -> None:
    source = random_source()
    source.tensors[f"{name}.weight"][:] = value
    with pytest.raises(EngineError, match=f"not finite or too large: {where}"):
        logits_of(FloatModel(source), np.arange(9)[None])


def test_a_sliding_window_is_as_if_older_tokens_were_not_there() -> None:
    # In one layer, RoPE being relative, a position that sees 5 tokens is the end of these 5.
    slid = hidden_states(FloatModel(random_source(sliding_window=5)), np.arange(20)[None])[0]
    model = FloatModel(random_source())
    for end in range(5, 21):
        last = hidden_states(model, np.arange(end - 5, end)[None])[0, -1]
        np.testing.assert_allclose(slid[end - 1], last, atol=2e-5)


def test_biases_are_added_before_the_rotation() -> None:
    source = random_source(architecture="qwen2")
    ids, rng = np.arange(9)[None], np.random.default_rng(6)
    biases = {
        n: rng.normal(0, 1, r).astype(np.float32) for n, r in (("q", 32), ("k", 16), ("v", 16))
    }
    for name, bias in biases.items():
        source.tensors[f"blk.0.attn_{name}.bias"] = bias
    seen: dict[tuple[str, ...], F32] = {}
    hidden_states(FloatModel(source), ids, lambda names, x: seen.update({names: x.copy()}))
    normed = seen[tuple(f"blk.0.attn_{n}.weight" for n in "qkv")]
    q, k, v = (normed @ source.tensor(f"blk.0.attn_{n}.weight").T + biases[n] for n in "qkv")
    expected = _attention_in_halves(q, k, v, theta=100.0, d=8)
    np.testing.assert_allclose(seen[("blk.0.attn_output.weight",)], expected, atol=1e-4)


def _attention_in_halves(q: F32, k: F32, v: F32, theta: float, d: int) -> F32:
    """Attention in float64 with halves rotated as complex numbers, H heads on G."""
    n, angles = len(q), np.arange(len(q))[:, None] * theta ** (-np.arange(0, d, 2) / d)

    def turned(x: F32) -> np.ndarray:
        heads = x.reshape(n, -1, 2, d // 2).astype(np.float64)
        z = (heads[:, :, 0] + 1j * heads[:, :, 1]) * np.exp(1j * angles)[:, None]
        return np.concatenate([z.real, z.imag], -1)

    keys, values = (x.repeat(q.shape[1] // k.shape[1], 1) for x in (turned(k), v.reshape(n, -1, d)))
    scores = np.einsum("thd,shd->hts", turned(q), keys) / np.sqrt(d)
    scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hts,shd->thd", weights, values).reshape(n, -1)


def test_rope_divisors_divide_the_frequencies() -> None:
    divisors = np.array([1, 2, 4, 8], np.float32)
    source = random_source()
    source.tensors["rope_freqs.weight"] = divisors
    ids = np.arange(12)[None]
    got = hidden_states(FloatModel(source), ids)
    # All pairs divided alike is a linear scaling, which is exact for a power of two.
    source.tensors["rope_freqs.weight"] = np.full(4, 4, np.float32)
    scaled = random_source(rope=RopeConfig(100.0, factor=4.0))
    expected = hidden_states(FloatModel(scaled), ids)
    assert (hidden_states(FloatModel(source), ids) == expected).all()
    assert (got != expected).any()
    assert (got != hidden_states(FloatModel(random_source()), ids)).any()
