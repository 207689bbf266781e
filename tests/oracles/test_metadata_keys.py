"""Keys of metadata that are accepted: the logits are those that llama.cpp has of the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from tests.mutants.document import ARRAY, Document, Entry, parse
from tests.oracles.llama_cpp_answers import logits_of, words
from tests.oracles.test_llama_cpp import TOLERANCE

pytestmark = pytest.mark.oracle

# What is stated, behind "llama.", and whether it changes the logits.
CASES: list[tuple[dict[str, Any], bool]] = [
    ({"attention.sliding_window": 8}, False),
    ({"attention.sliding_window": 8, "attention.sliding_window_pattern": 2}, False),
    ({"pooling_type": 3}, False),
    ({"attention.scale": 0.0}, False),
    ({"attention.scale": 0.125}, False),
    ({"attention.causal": True}, False),
    ({"attention.head_count": [4, 4], "attention.head_count_kv": [2, 2]}, False),
    ({"feed_forward_length": [320, 320]}, False),
    ({"embedding_scale": 1.0, "residual_scale": 0.0, "logit_scale": 1.0}, False),
    ({"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "token_shift_count": 2,
      "router_logit_softcapping": 30.0, "ssm.dt_b_c_rms": False}, False),
    ({"expert_count": 0, "expert_used_count": 0}, False),
    ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, False),
    ({"rope.scaling.type": "none", "rope.scale_linear": 4.0}, False),
    ({"rope.scaling.type": "linear"}, False),
    ({"rope.scaling.factor": 0.0, "rope.scale_linear": 4.0}, False),
    ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, True),
    ({"rope.scaling.type": "linear", "rope.scale_linear": 4.0}, True),
    ({"rope.scaling.factor": 4.0}, True),
    ({"rope.scale_linear": 4.0}, True),
    ({"rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64,
      "rope.scaling.yarn_ext_factor": -1.0, "rope.scaling.attn_factor": 1.0}, True),
]  # fmt: skip
TYPES = {bool: 7, int: 4, float: 6, str: 8}


def state(document: Document, key: str, value: Any) -> None:
    """Set a key, or add it."""
    entry = document.entry(key)
    if entry is None:
        entry = Entry(key.encode(), 0, None)
        document.entries.append(entry)
    is_array = isinstance(value, list)
    kind = TYPES[type(value[0] if is_array else value)]
    entry.type_id, entry.item_type = (ARRAY, kind) if is_array else (kind, 0)
    entry.value = value.encode() if isinstance(value, str) else value


@pytest.fixture(scope="module")
def plain(
    benchmark_module: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny file."""
    tiny_llama = benchmark_module("tiny_llama")
    folder = tmp_path_factory.mktemp("metadata")
    tiny = tiny_llama.Tiny("tiny", 5, 256, 320, 2, 4, 2, 64, 331, 1e4, tied=False)
    tiny_llama.save(tiny, folder)
    halfbyte.convert(folder, folder / "plain.gguf", type="f32", measure=False)
    return folder / "plain.gguf"


@pytest.mark.parametrize(("stated", "changes"), CASES, ids=range(len(CASES)))
def test_logits_are_llama_cpps(
    stated: dict[str, Any], changes: bool, plain: Path, peer_python: Path, tmp_path: Path
) -> None:
    document = parse(plain.read_bytes())
    for key, value in stated.items():
        state(document, f"llama.{key}", value)
    path, ids = tmp_path / "a.gguf", words(99)
    path.write_bytes(document.to_bytes())
    theirs = logits_of(peer_python, path, ids)
    with halfbyte.load(path, threads=2) as model, halfbyte.load(plain, threads=2) as other:
        ours, without = model.logits(ids), other.logits(ids)
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < TOLERANCE["f32"]
    assert bool((ours != without).any()) == changes
