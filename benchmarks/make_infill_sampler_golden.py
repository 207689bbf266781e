"""Write tests/data/golden_infill_sampler.json: what llama.cpp's sampler `infill` leaves.

    python benchmarks/make_infill_sampler_golden.py LLAMA_SERVER

asks a real llama-server with the packaged model for gaps of held-out code, after the samplers top_k
and infill, and writes the prompts' ids with the tokens that were left and their probabilities.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np

from halfbyte.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent
OUT = ROOT / "tests" / "data" / "golden_infill_sampler.json"
MODEL = ROOT / "runtime" / "data" / "infill-10m.gguf"
TEXT = ROOT / "runtime" / "quality" / "data" / "heldout.txt"
N_PROMPTS, TOP_K, SEED = 24, 40, 1
UNSURE = (13, 15, 20, 22)  # a threshold is so near that the rounding of products decides


def prompts() -> list[list[int]]:
    """Gaps, prefix first; a third of them with the beginning of what was there."""
    tokenizer, text = Tokenizer.from_path(MODEL), TEXT.read_text("utf-8")
    marks = [tokenizer.id_of(f"▁<{name}>") for name in ("PRE", "SUF", "MID")]
    rng, made = np.random.default_rng(SEED), []
    for i in range(N_PROMPTS):
        begin = int(rng.integers(0, len(text) - 400))
        cut, n = begin + int(rng.integers(20, 200)), int(rng.integers(4, 40))
        prefix = tokenizer.encode(text[begin:cut], add_bos=False)
        suffix = tokenizer.encode_fragment(text[cut + n : cut + n + 100])
        middle = tokenizer.encode_fragment(text[cut : cut + n // 2]) if i % 3 == 0 else []
        ids = [tokenizer.bos_id, marks[0], *prefix, marks[1], *suffix, marks[2], *middle]
        made.append([one for one in ids if one is not None])
    return made


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The answer to a request; waits for a server that is starting."""
    data = None if body is None else json.dumps(body).encode()
    for _ in range(100):
        try:
            with urlopen(Request(url, data, {"content-type": "application/json"})) as answer:
                return json.load(answer)
        except URLError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def left(url: str, prompt: list[int]) -> dict[int, float]:
    """Tokens that the samplers leave, with their probabilities."""
    asked = {"prompt": prompt, "n_predict": 1, "samplers": ["top_k", "infill"], "top_k": TOP_K,
             "n_probs": TOP_K, "post_sampling_probs": True}  # fmt: skip
    (told,) = ask(f"{url}/completion", asked)["completion_probabilities"]
    return {one["id"]: round(one["prob"], 4) for one in told["top_probs"] if one["prob"] > 0}


def main() -> None:
    """Ask, and write."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.argv[1], "-m", str(MODEL), "--port", str(port), "-c", "512", "-np", "1"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        ask(f"{url}/health")
        sure = [one for i, one in enumerate(prompts()) if i not in UNSURE]
        rows = [{"prompt": one, "left": left(url, one)} for one in sure]
    finally:
        server.terminate()
        server.wait()
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    OUT.write_text(f'{{"top_k":{TOP_K},"rows":[\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
