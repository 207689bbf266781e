"""How fast a checkpoint of 7B's shape is converted, beside the speed of disk and memory.

    python benchmarks/conversion_speed.py [--layers 4] [--types q8_0 ...] [--folder DIR]

A Hugging Face folder in F16 with so many of the 32 layers is made below DIR (3.4 GB with the
default, 13.5 GB with 32), converted without measurement, and removed. Before each conversion the
checkpoint leaves the page cache, so that it is read from the disk. In the same run, on the same
disk: reading the checkpoint, writing as much as a result, and reading memory with all threads. A
conversion is held against the longer of

    disk      what reading the source and writing the result take alone
    memory    the source's bytes at half of the memory's speed

Appended to benchmarks/results/conversion_speed.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import results
import tiny_llama
from safetensors.numpy import save_file

import halfbyte
from halfbyte.kernels.limits.bandwidth import read_bandwidth
from halfbyte.kernels.pool import Pool
from halfbyte.system import default_threads, set_up_kernels

DIM, HIDDEN_DIM, N_HEADS, N_VOCAB, N_LAYERS = 4096, 11008, 32, 32016, 32
TOKENS = 320  # in the invented tokenizer; the others are filled up
PIECE = 1 << 24


def make_checkpoint(folder: Path, n_layers: int) -> None:
    """Write a folder whose shards are the layers, all with other weights."""
    shape = tiny_llama.Tiny("7b", 0, DIM, HIDDEN_DIM, n_layers, N_HEADS, N_HEADS, DIM // N_HEADS,
                            N_VOCAB, 1e6, tied=False, n_ctx=16384)  # fmt: skip
    (folder / "config.json").write_text(json.dumps(tiny_llama.config(shape)))
    tiny_llama.save_tokenizer(TOKENS, folder)
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (0.02 * rng.standard_normal((rows, columns), np.float32)).astype(np.float16)

    def vector() -> np.ndarray:
        return np.ones(DIM, np.float16)

    shards = [{"model.embed_tokens.weight": matrix(N_VOCAB, DIM), "model.norm.weight": vector(),
               "lm_head.weight": matrix(N_VOCAB, DIM)}]  # fmt: skip
    where: dict[str, str] = {}
    for i in range(n_layers + 1):
        if i:
            at = f"model.layers.{i - 1}."
            attention = {f"{at}self_attn.{n}_proj.weight": matrix(DIM, DIM) for n in "qkvo"}
            up = {f"{at}mlp.{n}_proj.weight": matrix(HIDDEN_DIM, DIM) for n in ("gate", "up")}
            shards.append(attention | up | {
                f"{at}mlp.down_proj.weight": matrix(DIM, HIDDEN_DIM),
                f"{at}input_layernorm.weight": vector(),
                f"{at}post_attention_layernorm.weight": vector(),
            })  # fmt: skip
        name, tensors = f"model-{i:05}.safetensors", shards.pop()
        save_file(tensors, folder / name)
        where |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def leave_cache(folder: Path) -> None:
    """Take a folder's files out of the page cache, so that they are read from the disk."""
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read_s(folder: Path) -> float:
    """Seconds to read all files of a folder from the disk, one after the other."""
    leave_cache(folder)
    buffer = bytearray(PIECE)
    begin = time.perf_counter()
    for path in sorted(folder.iterdir()):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - begin


def write_s(path: Path, nbytes: int) -> float:
    """Seconds to write so many bytes to the disk."""
    piece = np.random.default_rng(0).bytes(PIECE)
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(nbytes // PIECE):
            file.write(piece)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    path.unlink()
    return seconds


def measured(folder: Path, kind: str, threads: int, memory: float, rounds: int) -> dict[str, Any]:
    """One conversion, and what disk and memory would allow around the same time."""
    source_nbytes = sum(path.stat().st_size for path in folder.iterdir())
    out = folder.with_suffix(".gguf")
    seconds = []
    for _ in range(rounds):
        leave_cache(folder)
        begin = time.perf_counter()
        halfbyte.convert(folder, out, type=kind, measure=False, force=True, threads=threads)
        seconds.append(time.perf_counter() - begin)
    out_nbytes = out.stat().st_size
    out.unlink()
    reading, writing = read_s(folder), write_s(out, out_nbytes)
    limit = max(reading + writing, source_nbytes / (memory / 2))
    return {
        "type": kind, "seconds": seconds, "source_nbytes": source_nbytes, "out_nbytes": out_nbytes,
        "read_s": reading, "write_s": writing, "memory_bytes_per_s": memory,
        "of_limit": limit / float(np.median(seconds)),
    }  # fmt: skip


def main() -> None:
    """Measure, print and append."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--types", nargs="+", default=("q8_0", "q4_0", "q4_k_m"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to (default: the temporary folder)")
    args = parser.parse_args()
    threads = default_threads().count
    set_up_kernels()
    pool = Pool(threads)
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name) / "7b"
        folder.mkdir()
        make_checkpoint(folder, args.layers)
        print("type      s   source GB/s   disk alone s   memory GB/s   of the limit   32 layers")
        for kind in args.types:
            row = measured(folder, kind, threads, read_bandwidth(pool), args.rounds)
            rows.append(row)
            middle = float(np.median(row["seconds"]))
            whole = middle * whole_nbytes() / row["source_nbytes"]
            print(f"{kind:7} {middle:5.1f} {row['source_nbytes'] / middle / 1e9:13.2f} "
                  f"{row['read_s'] + row['write_s']:14.1f} {row['memory_bytes_per_s'] / 1e9:13.1f} "
                  f"{row['of_limit']:14.0%} {whole:9.0f} s", flush=True)  # fmt: skip
        model = next(folder.glob("*.safetensors"))
        results.append("conversion_speed", model, threads, {
            "layers": args.layers, "whole_nbytes": whole_nbytes(), "rows": rows,
        })  # fmt: skip
    pool.close()


def whole_nbytes() -> int:
    """Bytes of all layers in F16."""
    layer = 4 * DIM * DIM + 3 * DIM * HIDDEN_DIM
    return 2 * (N_LAYERS * layer + 2 * N_VOCAB * DIM)


if __name__ == "__main__":
    main()
