"""Write tests/data/golden_samplers.json: what llama.cpp's samplers make of some logits.

    python benchmarks/make_samplers_golden.py LLAMA_CPP_FOLDER

compiles llama.cpp's own src/llama-sampler.cpp with a shim of its C++ entry for DRY, runs chains of
its samplers and writes which tokens they leave, with what probabilities. Needs g++.
"""

from __future__ import annotations

import ctypes
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parent.parent / "tests" / "data" / "golden_samplers.json"
SOURCES = ("llama-sampler", "llama-grammar", "llama-vocab", "llama-impl", "unicode", "unicode-data")
SHIM = r"""
#include "llama.h"
#include <vector>
llama_sampler * llama_sampler_init_dry_testing(float, float, int32_t, int32_t,
    const std::vector<std::vector<llama_token>> &);
extern "C" llama_sampler * dry(float multiplier, float base, int32_t allowed, int32_t last_n,
        const llama_token * flat, const int32_t * lengths, int32_t n) {
    std::vector<std::vector<llama_token>> breakers;
    for (int32_t i = 0; i < n; flat += lengths[i++]) breakers.emplace_back(flat, flat + lengths[i]);
    return llama_sampler_init_dry_testing(multiplier, base, allowed, last_n, breakers);
}
"""
N_VOCAB, SEED = 300, 7
FIRST_BREAKER = 290  # from here on, a token is a sequence breaker; 288 and then 289 are one
BREAKERS = [*([i] for i in range(FIRST_BREAKER, N_VOCAB)), [288, 289]]


class TokenData(ctypes.Structure):
    """llama_token_data."""

    _fields_ = (("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float))


class TokenDataArray(ctypes.Structure):
    """llama_token_data_array."""

    _fields_ = (
        ("data", ctypes.POINTER(TokenData)), ("size", ctypes.c_size_t),
        ("selected", ctypes.c_int64), ("sorted", ctypes.c_bool),
    )  # fmt: skip


class Llama:
    """llama.cpp's samplers."""

    def __init__(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory() as made:
            shim, library = Path(made, "shim.cpp"), Path(made, "samplers.so")
            shim.write_text(SHIM)
            sources = [folder / "src" / f"{name}.cpp" for name in SOURCES]
            paths = [f"-I{folder / part}" for part in ("include", "ggml/include", "src")]
            command = ["g++", "-O1", "-w", "-shared", "-fPIC", *paths, shim, *sources]
            subprocess.run([*command, "-o", library], check=True)
            # What these files need of other ones is never called.
            self._lib = ctypes.CDLL(str(library), mode=getattr(ctypes, "RTLD_LAZY", 1))

    def sampler(self, name: str, *given: Any) -> ctypes.c_void_p:
        """A new sampler."""
        if name == "dry":
            flat = [token for breaker in BREAKERS for token in breaker]
            lengths = [len(breaker) for breaker in BREAKERS]
            given += (_ints(flat), _ints(lengths), ctypes.c_int32(len(lengths)))
        make = getattr(self._lib, name if name == "dry" else f"llama_sampler_init_{name}")
        make.restype = ctypes.c_void_p
        return ctypes.c_void_p(
            make(*(ctypes.c_float(x) if isinstance(x, float) else x for x in given))
        )

    def apply(
        self, samplers: Sequence[ctypes.c_void_p], logits: Sequence[float]
    ) -> tuple[list[tuple[int, float, float]], int]:
        """The tokens left, each with logit and probability, and which was selected."""
        data = (TokenData * len(logits))(*(TokenData(i, x, 0.0) for i, x in enumerate(logits)))
        array = TokenDataArray(data, len(logits), -1, False)
        for sampler in samplers:
            self._lib.llama_sampler_apply(sampler, ctypes.byref(array))
        left = [(array.data[i].id, array.data[i].logit, array.data[i].p) for i in range(array.size)]
        return left, left[array.selected][0] if array.selected >= 0 else -1

    def accept(self, sampler: ctypes.c_void_p, token: int) -> None:
        """Tell it a token."""
        self._lib.llama_sampler_accept(sampler, ctypes.c_int32(token))


def _ints(values: Sequence[int]) -> Any:
    return (ctypes.c_int32 * len(values))(*values)


# What our parameters are in llama.cpp's calls, in the order of a chain.
CHAINS: list[list[tuple[Any, ...]]] = [
    [("top_n_sigma", 1.0)],
    [("top_n_sigma", 0.3)],
    [("typical", 0.5, 0)],
    [("typical", 0.95, 0)],
    [("top_k", 20), ("typical", 0.7, 0)],
    [("xtc", 1.0, 0.1, 0, SEED)],
    [("xtc", 1.0, 0.02, 0, SEED)],
    [("xtc", 1.0, 0.6, 0, SEED)],
    [("temp_ext", 0.8, 0.0, 1.0)],
    [("temp_ext", 1.0, 0.5, 1.0)],
    [("temp_ext", 0.5, 0.9, 2.0)],
    [("top_k", 40), ("temp_ext", 1.0, 0.7, 0.5)],
    [("penalties", N_VOCAB, 64, 1.3, 0.0, 0.0)],
    [("penalties", N_VOCAB, 10, 1.1, 0.25, 0.5)],
    [("dry", 0.8, 1.75, 2, 64)],
    [("dry", 2.0, 1.2, 1, 200)],
    [("dry", 0.5, 1.0, 3, 40)],
    [("top_k", 30), ("top_p", 0.9, 0), ("min_p", 0.05, 0)],
    [("penalties", N_VOCAB, 64, 1.1, 0.1, 0.0), ("dry", 0.8, 1.75, 2, 64), ("top_n_sigma", 3.0),
     ("top_k", 20), ("typical", 0.9, 0), ("top_p", 0.95, 0), ("min_p", 0.02, 0),
     ("xtc", 1.0, 0.05, 0, SEED), ("temp_ext", 0.8, 0.3, 1.0)],
]  # fmt: skip
DRAWING: list[tuple[Any, ...]] = [
    ("mirostat", N_VOCAB, SEED, 5.0, 0.1, 100),
    ("mirostat", N_VOCAB, SEED, 2.0, 0.3, 100),
    ("mirostat_v2", SEED, 5.0, 0.1),
    ("mirostat_v2", SEED, 2.0, 0.3),
    ("adaptive_p", 0.5, 0.9, SEED),
    ("adaptive_p", 0.1, 0.5, SEED),
]


def rows() -> list[list[float | None]]:
    """Logits of 16 binary digits behind the point, exact in 32 bits, no two alike; None is -inf."""
    rng = np.random.default_rng(SEED)
    made: list[list[float | None]] = []
    for scale in (0.5, 2.0, 3.0, 5.0):
        row = np.round(scale * rng.standard_normal(N_VOCAB) * 2**16) / 2**16
        assert len(np.unique(row)) == N_VOCAB  # which of equals stays is nobody's rule
        made.append(row.tolist())
    made[-1][::3] = [None] * len(made[-1][::3])
    return made


def histories() -> list[list[int]]:
    """Tokens so far: without repetitions, with some, with breakers in some, and only one."""
    rng = np.random.default_rng(SEED + 1)
    part = rng.integers(0, 280, 9).tolist()
    with_breakers = [*part, 291, *part[:4], 288, 289, *part, 12, 288, *part[:6]]
    return [
        rng.permutation(280)[:50].tolist(), [*part, 3, *part[:7], 4, 5, *part[2:8]], with_breakers,
        [5] * 30,
    ]  # fmt: skip


def main() -> None:
    """Write the file."""
    llama = Llama(Path(sys.argv[1]))
    logits, said = rows(), histories()
    plain = [[-math.inf if x is None else x for x in row] for row in logits]
    cases: list[dict[str, Any]] = []
    for chain in CHAINS:
        needs_history = any(name in ("penalties", "dry") for name, *_ in chain)
        for history in range(len(said) if needs_history else 1):
            for row, values in enumerate(plain):
                if chain[0][0] == "typical" and -math.inf in values:
                    continue  # 0 * log 0: its entropy is NaN then
                samplers = [llama.sampler(*link) for link in chain]
                for token in said[history] if needs_history else ():
                    for sampler in samplers:
                        llama.accept(sampler, token)
                left, _ = llama.apply(samplers, values)
                cases.append({"chain": chain, "history": history, "row": row, **_kept(left)})
    draws = [_drawn(llama, drawing, plain) for drawing in DRAWING]
    data = {"n_vocab": N_VOCAB, "breakers": BREAKERS, "rows": logits, "histories": said}
    text = json.dumps({**data, "cases": cases, "draws": draws}, separators=(",", ":"))
    OUT.write_text(text + "\n")
    print(f"{OUT}: {len(cases)} chains, {len(draws)} drawings, {len(text):,} bytes")


def _kept(left: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Tokens that may come still (None: all that could), of the likeliest their probabilities.

    `mean` is the mean of all ids, each as likely as it is.
    """
    is_all = len(left) == N_VOCAB and all(logit > -math.inf for _, logit, _ in left)
    left = [entry for entry in sorted(left) if entry[1] > -math.inf]
    most = max(logit for _, logit, _ in left)
    total = sum(math.exp(logit - most) for _, logit, _ in left)
    probs = {token: math.exp(logit - most) / total for token, logit, _ in left}
    top = sorted(probs, key=lambda token: -probs[token])[:6]
    return {
        "ids": None if is_all else list(probs),
        "mean": float(f"{sum(token * p for token, p in probs.items()):.7g}"),
        "probs": {token: float(f"{probs[token]:.6g}") for token in top},
    }


def _drawn(llama: Llama, drawing: tuple[Any, ...], plain: list[list[float]]) -> dict[str, Any]:
    """Twelve tokens in a row: what was left each time, and what was drawn of it."""
    sampler, steps = llama.sampler(*drawing), []
    for i in range(12):
        left, token = llama.apply([sampler], plain[i % len(plain)])
        llama.accept(sampler, token)
        steps.append({"token": token, **_kept(left)})
    return {"sampler": drawing, "steps": steps}


if __name__ == "__main__":
    main()
