"""How much memory a model takes while it runs, known from its file before any of it is taken."""

from __future__ import annotations

import logging

from halfbyte.engine.buffers import MAX_BATCH, buffers_nbytes
from halfbyte.engine.kv_cache import kv_layout
from halfbyte.engine.rooms import in_memory, packed_nbytes
from halfbyte.engine.rotation import rotation_nbytes
from halfbyte.engine.state_layout import StateLayout
from halfbyte.errors import ModelFileError, RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.per_layer import TABLE
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.layouts.kv_pages import KV_TYPES, PAGE, KVLayout, WindowedLayout
from halfbyte.kernels.layouts.panels import UNIT
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

# Measured: Python 3.11 with NumPy and the kernels of a model (x86-64, Linux; 50 MB more where LLVM
# loads them); a token and a merge as texts, and in the tables that encode.
RUNTIME_NBYTES = 52_000_000
_TOKEN_NBYTES, _MERGE_NBYTES = 500, 300
_LISTS = (("tokenizer.ggml.tokens", _TOKEN_NBYTES), ("tokenizer.ggml.merges", _MERGE_NBYTES))

MARGIN_NBYTES = 256 << 20  # of the machine's memory, for everything but weights and pages

# Models take about what their files hold; only padding can be a multiple of a small one.
_MAX_TIMES, _ALWAYS_NBYTES = 4, 64_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a process needs.

    Attributes:
        weights: as the kernels want them.
        kv_cache: keys and values of a sequence as long as the context.
        states: of a sequence's recurrent layers, before a step and behind it.
        buffers: what a step of MAX_BATCH tokens needs between its stages, with its logits and the
            rows of rotary embedding.
        tokenizer: the vocabulary.
        runtime: Python, NumPy and the compiled kernels.
        experts: of the weights those of experts, which may stay on the disk.
        in_file: of the file what is read as it is used, and takes no memory of the process.
    """

    weights: int
    kv_cache: int
    buffers: int
    tokenizer: int
    runtime: int = RUNTIME_NBYTES
    experts: int = 0
    in_file: int = 0
    states: int = 0

    @property
    def sequence(self) -> int:
        """All that a sequence as long as the context takes."""
        return self.kv_cache + self.states

    @property
    def total(self) -> int:
        """All of it, for one sequence."""
        return self.weights + self.sequence + self.buffers + self.tokenizer + self.runtime


def memory_of(
    file: GGUFFile, config: ModelConfig, kv_type: str, n_ctx: int, n_threads: int
) -> Memory:
    """What running a model takes; UnsupportedModelError where a tensor's type does not run."""
    sizes = {spec: packed_nbytes(file, spec) for spec in in_memory(file, config)}
    layout, states = kv_layout(config, kv_type, n_ctx), StateLayout.of(config)
    lists = [(file.metadata.get_strings(key), n) for key, n in _LISTS if key in file.metadata]
    return Memory(
        weights=sum(sizes.values()),
        kv_cache=layout.nbytes(n_ctx),
        buffers=_buffers_nbytes(config, layout, n_threads, n_ctx),
        tokenizer=sum(len(texts) * nbytes for texts, nbytes in lists),
        experts=sum(nbytes for spec, nbytes in sizes.items() if spec.is_of_experts),
        in_file=file.tensors[f"{TABLE}.weight"].nbytes if config.per_layer_dim else 0,
        states=0 if states is None else 2 * states.nbytes,
    )


def _buffers_nbytes(config: ModelConfig, layout: KVLayout, n_threads: int, n_ctx: int) -> int:
    """With the logits, and the rows of rotary embedding."""
    more = 4 * config.vocab_size + rotation_nbytes(config, n_ctx)
    return buffers_nbytes(config, layout, n_threads) + more


def stays_on_disk(need: Memory, available: int | None) -> bool:
    """Whether experts are read from the disk as they are used: memory cannot hold them all.

    `available` are the bytes that this process may still take; None where nobody knows.
    """
    if available is None or not need.experts:
        return False
    return need.weights + need.buffers + need.sequence + MARGIN_NBYTES > available


def why_not_beside(
    file: GGUFFile, config: ModelConfig, layer: ModelConfig, kv_type: str, n_threads: int,
    available: int | None,
) -> str:  # fmt: skip
    """Why a model's layer that guesses (families/next_layer.py) cannot be used; "" where it can."""
    if layer.dim % UNIT:
        return f"has rows that are no multiple of {UNIT}"
    both = [memory_of(file, one, kv_type, PAGE, n_threads) for one in (config, layer)]
    nbytes = sum(need.weights + need.buffers + need.kv_cache for need in both) + MARGIN_NBYTES
    return "does not fit memory" if available is not None and nbytes > available else ""


def kv_cache_nbytes(config: ModelConfig, n_ctx: int) -> dict[str, int | None]:
    """Bytes of the keys and values of so many positions, by type; None: its heads don't fit one."""
    found: dict[str, int | None] = {}
    for kv_type in KV_TYPES:
        try:
            found[kv_type] = kv_layout(config, kv_type, n_ctx).nbytes(n_ctx)
        except RequestError:
            found[kv_type] = None
    return found


def check_context(
    file: GGUFFile, config: ModelConfig, kv_type: str, n_ctx: int, n_threads: int,
    available: int | None,
) -> None:  # fmt: skip
    """Refuse a context that memory cannot hold, before any of it is taken.

    `available` are the bytes that this process may still take; None where nobody knows.

    Raises:
        RequestError: with what it takes, what there is, and what would fit.
    """
    need = memory_of(file, config, kv_type, n_ctx, n_threads)
    weights = need.weights - (need.experts if stays_on_disk(need, available) else 0)
    fixed = weights + need.buffers + need.states
    if available is None or fixed + need.kv_cache <= available:
        return
    left = available - fixed
    layout, param, asked = kv_layout(config, kv_type, n_ctx), "ctx", n_ctx
    fits = layout.n_positions(left)
    if config.attention_window and isinstance(layout, WindowedLayout):
        param, asked = "attention_window", config.attention_window
        fits = max(fits - layout.most + layout.window, 0)  # some more are kept than are seen
    sizes = kv_cache_nbytes(config, n_ctx)
    shown = ", ".join(f"{n / 1e9:.1f} GB as {name}" for name, n in sizes.items() if n is not None)
    raise RequestError(
        param,
        expected=f"at most {fits} tokens as {kv_type}: of "
        f"{available / 1e9:.1f} GB of memory, weights and buffers take {fixed / 1e9:.1f}",
        got=f"{asked}, whose keys and values take {shown}",
        hint=f"use a shorter {param}=" + (', or kv_type="int8" or "int4"' if sizes["int8"] else ""),
    )


def check_memory(file: GGUFFile, config: ModelConfig, kv_type: str, n_threads: int) -> None:
    """Say what a checked file will take, before it is taken.

    Raises:
        ModelFileError: out of all proportion to the file: dimensions that no model has.
    """
    need = memory_of(file, config, kv_type, PAGE, n_threads)
    # The number of threads is not the file's.
    buffers = _buffers_nbytes(config, kv_layout(config, kv_type, PAGE), 1, PAGE)
    log.info(
        "%s: %.0f MB of weights, %.0f MB of buffers, %.1f MB of KV cache for %d tokens",
        file.path, need.weights / 1e6, need.buffers / 1e6, need.kv_cache / 1e6, PAGE,
    )  # fmt: skip
    nbytes = need.weights + buffers + need.sequence
    most = _MAX_TIMES * file.nbytes + _ALWAYS_NBYTES
    if nbytes > most:
        raise ModelFileError(
            file.path, "dimensions",
            expected=f"a need of at most {most / 1e6:.0f} MB for a file of {file.nbytes / 1e6:.1f}",
            got=f"{nbytes / 1e6:.0f} MB: {need.weights / 1e6:.0f} MB of weights, "
            f"{buffers / 1e6:.0f} MB of buffers for {MAX_BATCH} tokens, "
            f"{need.kv_cache / 1e6:.0f} MB of KV cache for {PAGE}"
            + (f", {need.states / 1e6:.0f} MB of states" if need.states else ""),
            hint="the file is damaged, or made to exhaust memory",
        )  # fmt: skip
