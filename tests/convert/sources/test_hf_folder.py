"""Folders: what is missing, what points elsewhere, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import map_tensors
from halfbyte.errors import ConversionError, MissingFileError
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.tensors import TensorSpec


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "hf"))


def check(folder: Path) -> None:
    opened = HFFolder(folder)
    map_tensors(opened, config_from_hf(folder, opened.config or {}))


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


def test_a_good_folder_is_good(folder: Path) -> None:
    check(folder)


@pytest.mark.parametrize(
    "text",
    [
        '{"hidden_size": 64, "a": 1, "hidden_size": 32}',
        '{"rope_scaling": {"hidden_size": 1, "hidden_size": 1}}',
    ],
)
def test_a_key_that_config_json_has_twice_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ConversionError, match=r"config\.json: hidden_size: expected it once"):
        check(folder)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "", "..", 5, None]
)
def test_shards_outside_the_folder_are_refused(folder: Path, name: object) -> None:
    index = {"weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConversionError, match="files of this folder"):
        HFFolder(folder)


def test_pickles_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConversionError, match="no such file"):
        HFFolder(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ConversionError, match="safe_serialization"):
        HFFolder(folder)


def test_missing_and_broken_json(folder: Path, tmp_path: Path) -> None:
    for text in ("", "{", "[1]", "\0", "[" * 100_000):
        (folder / "config.json").write_text(text)
        with pytest.raises(ConversionError, match=r"config\.json"):
            HFFolder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ConversionError, match=r"config\.json"):
        HFFolder(folder)
    with pytest.raises(ConversionError, match="no folder"):
        HFFolder(folder / "model.safetensors")
    with pytest.raises(MissingFileError, match="no folder"):
        HFFolder(tmp_path / "absent")


def change_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_all_faults_of_the_tensors_are_named_at_once(folder: Path) -> None:
    def break_it(tensors: dict[str, np.ndarray]) -> None:
        del tensors["model.layers.0.self_attn.q_proj.weight"]
        tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(4, np.float32)
        tensors["model.norm.weight"] = np.zeros(63, np.float32)

    change_tensors(folder, break_it)
    with pytest.raises(ConversionError) as caught:
        check(folder)
    text = str(caught.value)
    assert "missing model.layers.0.self_attn.q_proj.weight" in text
    assert "unknown model.layers.0.self_attn.q_proj.bias" in text
    assert "model.norm.weight is (63,), not (64,)" in text


def test_whole_layers_that_are_missing_are_named_briefly(folder: Path) -> None:
    """Every name is told, but not every layer's in a line of its own."""
    edit_config(folder, num_hidden_layers=40)
    with pytest.raises(ConversionError) as caught:
        check(folder)
    text, layers = str(caught.value), ",".join(map(str, range(2, 40)))
    for name in ("input_layernorm", "self_attn.q_proj", "mlp.down_proj"):
        assert f"missing model.layers.{{{layers}}}.{name}.weight" in text
    assert len(text) < 2500


def test_shards_that_are_missing_are_named_at_once(folder: Path) -> None:
    shards = {f"x{i}": f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)}
    (folder / "model.safetensors").rename(folder / shards["x2"])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ConversionError, match=f"no {shards['x1']}, {shards['x3']}; download"):
        HFFolder(folder)


def test_derived_tables_are_left_out(folder: Path) -> None:
    def add(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(8, np.float32)

    change_tensors(folder, add)
    check(folder)


EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def test_what_is_stored_decides_whether_embedding_and_head_are_one(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As transformers 5 decides it: tied where they are equal or one is missing."""
    stored = load_file(folder / "model.safetensors")
    edit_config(folder, tie_word_embeddings=True)

    def settled(**changes: np.ndarray | None) -> tuple[bool, dict[str, np.ndarray], str]:
        names = {"embedding": EMBEDDING, "head": HEAD}
        new = stored | {names[k]: v for k, v in changes.items() if v is not None}
        for name in [names[k] for k, v in changes.items() if v is None]:
            del new[name]
        save_file(new, folder / "model.safetensors")
        caplog.clear()
        opened = HFFolder(folder)
        config, mapped = map_tensors(opened, config_from_hf(folder, opened.config or {}))
        values = {n: t.rows(slice(None)) for n, t, *_ in mapped if "embd" in n or n[:2] == "ou"}
        return config.tied, values, caplog.text

    other = stored[EMBEDDING] + 1
    tied, values, said = settled(head=other)
    assert (tied, "both are taken" in said) == (False, True)
    assert (values["output.weight"] == other).all()
    for head in (stored[EMBEDDING], None):
        tied, values, said = settled(head=head)
        assert (tied, "output.weight" in values, said) == (True, False, "")
    tied, values, said = settled(embedding=None, head=other)
    assert (tied, "takes its place" in said) == (True, True)
    assert (values["token_embd.weight"] == other).all()
    edit_config(folder, tie_word_embeddings=False)
    with pytest.raises(ConversionError, match="missing lm_head"):
        settled(head=None)


def test_the_single_file_is_taken_beside_an_index(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = {"weight_map": {"x": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    check(folder)
    assert "model.safetensors is taken" in caplog.text


def test_weights_of_other_types_are_named(folder: Path) -> None:
    def widen(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float64)

    change_tensors(folder, widen)
    with pytest.raises(ConversionError, match=r"model\.norm\.weight is F64"):
        check(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gpt2"),
        ("model_type", ...),
        ("hidden_size", 0),
        ("hidden_size", "64"),
        ("hidden_size", True),
        ("num_hidden_layers", 2.0),
        ("num_hidden_layers", 10**9),
        ("vocab_size", 2**31),
        ("num_key_value_heads", 3),
        ("head_dim", 15),
        ("head_dim", 2),
        ("rms_norm_eps", 0),
        ("rms_norm_eps", 1e-60),
        ("rope_theta", 1e300),
        ("rope_theta", 10**400),
        ("rope_theta", float("inf")),
        ("rope_theta", "1e4"),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}),
        ("rope_scaling", "linear"),
        ("rope_parameters", {"rope_type": "yarn"}),
        ("attention_bias", "yes"),
        ("mlp_bias", 2),
        ("hidden_act", "gelu"),
        ("tie_word_embeddings", 1),
    ],
)
def test_configurations_that_cannot_be_converted_name_the_key(
    folder: Path, key: str, value: object
) -> None:
    edit_config(folder, **{key: value})
    with pytest.raises(ConversionError) as caught:
        check(folder)
    assert caught.value.field.startswith(key)


def test_absent_keys_have_the_documented_defaults(folder: Path) -> None:
    edit_config(folder, rms_norm_eps=..., rope_theta=..., max_position_embeddings=..., head_dim=...)
    opened = HFFolder(folder)
    h = config_from_hf(folder, opened.config or {})
    assert (h.norm_eps, h.rope.theta, h.n_ctx_train, h.head_dim) == (1e-6, 10000.0, 2048, 16)


def test_the_permutation_turns_halves_into_neighbours() -> None:
    """Rotating neighbours of the permuted vector is rotating halves of the original."""
    rng = np.random.default_rng(3)
    n_heads, d = 3, 16
    x = rng.standard_normal((n_heads, d))
    angles = rng.standard_normal(d // 2)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[:, : d // 2], x[:, d // 2 :]
    halves = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=1)
    order = TensorSpec("q", "", (n_heads * d,), n_heads).neighbours()
    y = x.reshape(-1)[order].reshape(n_heads, d)
    even, odd = y[:, 0::2], y[:, 1::2]
    neighbours = np.empty_like(y)
    neighbours[:, 0::2], neighbours[:, 1::2] = even * cos - odd * sin, odd * cos + even * sin
    np.testing.assert_allclose(neighbours.reshape(-1), halves.reshape(-1)[order], rtol=1e-12)


@pytest.mark.parametrize("index", [b"{}", b"{", b"[]", b"\xff", b""])
def test_a_single_file_is_taken_whatever_an_index_says(
    folder: Path, index: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "model.safetensors.index.json").write_bytes(index)
    check(folder)
    assert "model.safetensors.index.json left aside" in caplog.text


def test_a_file_of_an_older_family_is_made_by_the_names_that_the_checkpoint_has(
    folder: Path,
) -> None:
    """Granite 4 Micro is published as a hybrid, all of whose layers attend."""
    scales = {"embedding_multiplier": 2.0, "attention_multiplier": 0.25}
    edit_config(folder, model_type="granite", architectures=["GraniteForCausalLM"], **scales)
    wanted = mapped(folder)
    tensors = load_file(folder / "model.safetensors")
    for i in range(2):
        at, to = f"model.layers.{i}.mlp.", f"model.layers.{i}.shared_mlp."
        gate, up = (tensors.pop(f"{at}{name}_proj.weight") for name in ("gate", "up"))
        tensors[f"{to}input_linear.weight"] = np.concatenate([gate, up])
        tensors[f"{to}output_linear.weight"] = tensors.pop(f"{at}down_proj.weight")
    save_file(tensors, folder / "model.safetensors")
    edit_config(
        folder, model_type="granitemoehybrid", architectures=["GraniteMoeHybridForCausalLM"],
        layer_types=["attention"] * 2, position_embedding_type="rope", num_local_experts=0,
        shared_intermediate_size=96,
    )  # fmt: skip
    found = mapped(folder)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], rows) for name, rows in wanted.items())


def mapped(folder: Path) -> dict[str, NDArray[np.float32]]:
    """All rows of a folder's tensors, by their names in GGUF."""
    opened = HFFolder(folder)
    _, tensors = map_tensors(opened, config_from_hf(folder, opened.config or {}))
    return {name: tensor.rows(slice(None)) for name, tensor, _, _ in tensors}
