"""Layers that guess further ahead, in files made here: llama.cpp guesses what this package does.

llama-server tells its candidates in its log. Before a text it has one position more than the layer
was trained with, the first token beside a state of zeros, which is done here likewise.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte.engine.engine import Span
from halfbyte.generation.speculation.next_model import NextModel

pytestmark = pytest.mark.oracle

N_GUESSES, N_TOKENS, N_SHOWN = 3, 12, 10
IDS = np.random.default_rng(1).integers(3, 323, 40).tolist()
_CANDIDATE = re.compile(r"draft candidate +0, pos +(\d+): +(\d+) \( +([\d.]+)\)")
KINDS = {
    "glm4_moe": (6, 64, 96, 3, 4, 2, 32),
    "glm4_moe_lite": (1, 128, 160, 2, 4, 4, 16),
    "qwen3_5_text": (3, 64, 96, 4, 4, 2, 32),
    "qwen3_5_moe_text": (5, 64, 96, 4, 4, 2, 32),
    "qwen3_next": (3, 64, 96, 4, 4, 2, 32),
}


@pytest.fixture(scope="module")
def server() -> str:
    """llama-server."""
    path = os.environ.get("LLAMA_SERVER")
    if path is None:
        pytest.skip("LLAMA_SERVER names no program: `benchmarks/environments.py llama-server`")
    return path


def _asked(server: str, path: Path) -> tuple[list[int], list[tuple[int, int, float]]]:
    """Tokens that follow IDS, and the guesses on the way: place in a draft, id, probability."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", path.with_suffix(".log")
    command = [server, "-m", path, "-c", "512", "-t", "1", "--port", str(port), "-np", "1",
               "--spec-type", "draft-mtp", "--spec-draft-n-max", str(N_GUESSES), "-lv", "5",
               "-ctk", "f32", "-ctv", "f32", "-ctkd", "f32", "-ctvd", "f32",
               "-fa", "off"]  # fmt: skip
    asks = {"prompt": IDS, "n_predict": N_TOKENS, "temperature": 0, "return_tokens": True}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"{url}/health", timeout=5):
                        break
                except OSError:
                    assert process.poll() is None, log.read_bytes()[-2000:]
                    time.sleep(0.1)
            request = urllib.request.Request(f"{url}/completion", json.dumps(asks).encode())
            with urllib.request.urlopen(request, timeout=60) as reply:
                tokens = json.load(reply)["tokens"]
        finally:
            process.terminate()
    found = _CANDIDATE.findall(log.read_text("utf-8", errors="replace"))
    return tokens, [(int(at), int(token), float(p)) for at, token, p in found]


def _guesses(model: halfbyte.Model, ids: list[int]) -> list[tuple[int, int, float]]:
    """The same of this package, after some ids."""
    draft = model.draft
    assert isinstance(draft, NextModel)
    engine, dim = draft.engine, model.config.dim
    model.engine.forward([Span(model.engine.new_sequence(), ids[:-1], 0)])
    seen = draft._states(model.engine, 0, len(ids) - 1)
    states, tokens = np.concatenate([np.zeros((1, dim), np.float32), seen]), ids
    sequence, found = engine.new_sequence(), []
    for at in range(N_GUESSES):
        engine.rows("state", len(states), dim)[:] = states
        logits = engine.forward([Span(sequence, tokens, 1)])[0]
        states = draft._states(engine, len(tokens) - 1, 1)
        best = np.sort(np.exp(logits - logits.max()))[-N_SHOWN:]
        tokens = [int(logits.argmax())]
        found.append((at, tokens[0], float(best[-1] / best.sum())))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_guesses_are_llama_cpps(
    kind: str, server: str, tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    tiny_llama, (seed, *shape) = benchmark_module("tiny_llama"), KINDS[kind]
    tiny = tiny_llama.Tiny("t", seed, *shape, 323, 1e4, tied=False, kind=kind, n_next=1)
    tiny_llama.save(tiny, tmp_path / "hf")
    path = tmp_path / "m.gguf"
    halfbyte.convert(tmp_path / "hf", path, type="f32", measure=False)
    tokens, theirs = _asked(server, path)
    begins = [i for i, (at, *_) in enumerate(theirs) if at == 0]
    drafts = [theirs[i:end] for i, end in zip(begins, [*begins[1:], len(theirs)], strict=True)]
    assert len(drafts) >= N_TOKENS // 3  # of random weights hardly any guess comes true
    with halfbyte.load(path, threads=1, kv_type="f32") as model:
        assert model.complete(IDS, max_tokens=N_TOKENS, speculate=False).tokens == tokens
        n = 1  # tokens that are there before the first draft
        for draft in drafts:
            ours = _guesses(model, IDS + tokens[:n])[: len(draft)]
            assert [(at, token) for at, token, _ in ours] == [(at, t) for at, t, _ in draft]
            assert np.abs(np.array(ours)[:, 2] - np.array(draft)[:, 2]).max() < 2e-3
            is_right = [t == c for (_, t, _), c in zip(draft, tokens[n:], strict=False)]
            n += 1 + (is_right.index(False) if False in is_right else len(is_right))
            if kind == "qwen3_next":  # it goes back to a checkpoint, and then guesses otherwise
                break
