"""llama.cpp as a benchmark worker: runs in `.venvs/peer`, answers the commands of protocol.py.

    python peer.py MODEL.gguf [-t THREADS] [--ctx N] [--sequences N]

    prefill N          seconds for N random tokens in one batch, logits of the last one only
    decode N DEPTH     seconds for N tokens, one by one, after DEPTH positions are filled
    piece N DEPTH      seconds for N tokens in one batch, after DEPTH positions are filled
    keep DEPTH FILE    DEPTH positions, read from FILE, or filled and written there
    batch SEQS N       seconds for N tokens of each of SEQS sequences, decoded together
    tokenize IN OUT    ids (.npy) of a text file, BOS added as the file says
    logits IN OUT      float32 logits (.npy) after each of the ids in IN
    greedy IN N OUT    the N most likely ids, one by one, after the ids in IN

Counted as llama-bench counts: the cache (f16) is empty before each, flash attention is as
llama.cpp chooses it, tokens are random. The low-level API is used, since the high-level one
copies logits. --ctx is a sequence's length; each has a cache of its own, as llama.cpp advises where
they share no prefix.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp as L
import numpy as np
from protocol import serve, take_stdout

DEPTH_CHUNK = 512


@L.llama_log_callback
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    if level == 4:  # GGML_LOG_LEVEL_ERROR; 5 continues any other
        sys.stderr.write(text.decode(errors="replace"))


class Peer:
    """One model and one context of llama.cpp."""

    def __init__(self, path: str, threads: int, ctx: int, sequences: int) -> None:
        L.llama_log_set(_quiet, ctypes.c_void_p(0))
        L.llama_backend_init()
        begin = time.perf_counter()
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        params = L.llama_context_default_params()
        params.n_ctx, params.n_batch = ctx * sequences, ctx
        params.n_seq_max, params.kv_unified = sequences, False
        params.n_threads = params.n_threads_batch = threads
        self.context = L.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"llama.cpp cannot make a context of {ctx} tokens")
        self.load_s = time.perf_counter() - begin
        self.vocab = L.llama_model_get_vocab(self.model)
        self.n_vocab = L.llama_vocab_n_tokens(self.vocab)
        self.memory = L.llama_get_memory(self.context)
        self.n_filled = 0  # positions of the cache that the next `fill` may keep

    def clear(self) -> None:
        """Empty the cache."""
        L.llama_memory_clear(self.memory, True)
        self.n_filled = 0

    def fill(self, depth: int) -> None:
        """Have `depth` positions in the cache, those of the command before if they are as many."""
        if 0 < depth == self.n_filled:
            L.llama_memory_seq_rm(self.memory, 0, depth, -1)
            return
        self.clear()
        for done in range(0, depth, DEPTH_CHUNK):
            self.eval([1] * min(DEPTH_CHUNK, depth - done))
        self.n_filled = depth

    def eval(self, ids: Any) -> None:
        """Process ids after what the cache holds; only the last one's logits are computed."""
        tokens = (L.llama_token * len(ids))(*ids)
        self._decode(L.llama_batch_get_one(tokens, len(ids)))
        L.llama_synchronize(self.context)

    def last_logits(self) -> np.ndarray:
        """A view of the last token's logits, valid until the next call."""
        return np.ctypeslib.as_array(L.llama_get_logits_ith(self.context, -1), (self.n_vocab,))

    def all_logits(self, ids: np.ndarray) -> np.ndarray:
        """Logits after each id, from an empty cache: float32 (len(ids), n_vocab)."""
        self.clear()
        n = len(ids)
        batch = L.llama_batch_init(n, 0, 1)
        batch.n_tokens = n
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = int(token), i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, 1
        self._decode(batch)
        rows = np.ctypeslib.as_array(L.llama_get_logits(self.context), (n, self.n_vocab)).copy()
        L.llama_batch_free(batch)
        return rows

    def _decode(self, batch: L.llama_batch) -> None:
        status = L.llama_decode(self.context, batch)
        if status:
            sys.exit(f"llama_decode: {status}")

    # The commands.

    def prefill(self, n: str) -> dict[str, Any]:
        ids = np.random.default_rng(int(n)).integers(0, self.n_vocab, int(n)).tolist()
        self.clear()
        begin = time.perf_counter()
        self.eval(ids)
        seconds = time.perf_counter() - begin
        self.n_filled = len(ids)
        return {"seconds": seconds}

    def decode(self, n: str, depth: str) -> dict[str, Any]:
        ids = np.random.default_rng(0).integers(0, self.n_vocab, int(n)).tolist()
        self.fill(int(depth))
        begin = time.perf_counter()
        for token in ids:
            self.eval([token])
        return {"seconds": time.perf_counter() - begin}

    def piece(self, n: str, depth: str) -> dict[str, Any]:
        self.fill(int(depth))
        begin = time.perf_counter()
        self.eval([1] * int(n))
        return {"seconds": time.perf_counter() - begin}

    def keep(self, depth: str, file: str) -> dict[str, Any]:
        tokens, n = (L.llama_token * 1)(), ctypes.c_size_t()
        if not Path(file).exists():
            self.fill(int(depth))
            if not L.llama_state_seq_save_file(self.context, file.encode(), 0, tokens, 1):
                sys.exit(f"llama.cpp cannot write {file}")
        self.clear()
        if not L.llama_state_seq_load_file(self.context, file.encode(), 0, tokens, 1, n):
            sys.exit(f"llama.cpp cannot read {file}")
        self.n_filled = int(depth)
        return {}

    def batch(self, sequences: str, n: str) -> dict[str, Any]:
        n_seq = int(sequences)
        ids = np.random.default_rng(0).integers(0, self.n_vocab, (int(n), n_seq)).tolist()
        self.clear()
        batch = L.llama_batch_init(n_seq, 0, 1)
        batch.n_tokens = n_seq
        begin = time.perf_counter()
        for position, row in enumerate(ids):
            for i, token in enumerate(row):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
                batch.seq_id[i][0], batch.logits[i] = i, 1
            self._decode(batch)
            L.llama_synchronize(self.context)
        seconds = time.perf_counter() - begin
        L.llama_batch_free(batch)
        return {"seconds": seconds}

    def tokenize(self, source: str, out: str) -> dict[str, Any]:
        text = Path(source).read_bytes()
        ids = (L.llama_token * (len(text) + 8))()
        n = L.llama_tokenize(self.vocab, text, len(text), ids, len(ids), True, False)
        np.save(out, np.array(ids[:n], np.int64))
        return {"n": n}

    def logits(self, source: str, out: str) -> dict[str, Any]:
        np.save(out, self.all_logits(np.load(source)))
        return {}

    def greedy(self, source: str, n: str, out: str) -> dict[str, Any]:
        self.clear()
        self.eval(np.load(source).tolist())
        ids = [int(self.last_logits().argmax())]
        while len(ids) < int(n):
            self.eval([ids[-1]])
            ids.append(int(self.last_logits().argmax()))
        np.save(out, np.array(ids, np.int64))
        return {}


def main() -> None:
    """Load, announce, answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--sequences", type=int, default=1)
    args = parser.parse_args()
    answers = take_stdout()
    peer = Peer(args.model, args.threads, args.ctx, args.sequences)
    info = {
        "name": "llama.cpp",
        "version": L.__version__,
        "system": L.llama_print_system_info().decode().strip(" |"),
        "load_s": peer.load_s,
    }
    commands = ("prefill", "decode", "piece", "keep", "batch", "tokenize", "logits", "greedy")
    serve(info, {name: getattr(peer, name) for name in commands}, answers)
    os._exit(0)  # the library's own exit handlers log


if __name__ == "__main__":
    main()
