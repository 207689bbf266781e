"""`halfbyte inspect`: what is in a .gguf file, and what it needs to run."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from halfbyte import system
from halfbyte.cli import options, report
from halfbyte.cli.engine_flags import add_kv_type, add_window
from halfbyte.cli.parser import Parser
from halfbyte.printable import printable

if TYPE_CHECKING:
    from halfbyte.gguf.file import GGUFFile

_ARRAY_ITEMS = 6
_TEXT_LENGTH = 100


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_looked_at(parser)
    parser.add_argument(
        "-c", "--ctx", type=options.positive, metavar="N",
        help="context whose memory is shown (default: the one it was trained for)",
    )  # fmt: skip
    add_kv_type(parser)
    add_window(parser)
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Show metadata, tensors, totals and memory."""
    from halfbyte.gguf.file import GGUFFile
    from halfbyte.gguf.split import model_file
    from halfbyte.models import catalogue

    path = model_file(catalogue.resolve(args.model, pull=False))
    with GGUFFile.open(path, strict_types=False) as file:
        need, why_not = _memory(file, args)
        if args.json:
            _print_json(file, need, why_not)
        else:
            _print_text(file, need, why_not)


def _memory(file: GGUFFile, args: argparse.Namespace) -> tuple[dict[str, Any] | None, str]:
    """Bytes that a process needs, or why halfbyte cannot run the file."""
    from halfbyte.engine.footprint import kv_cache_nbytes, memory_of
    from halfbyte.engine.kv_cache import check_kv_type
    from halfbyte.errors import ModelFileError
    from halfbyte.families.attention_window import check_window, with_window
    from halfbyte.families.context import check_ctx
    from halfbyte.families.from_gguf import config_from_gguf
    from halfbyte.families.next_layer import next_config

    check_kv_type(kv_type := args.kv_type)
    window, sinks = check_window(args.attention_window, args.attention_sinks)
    try:
        config = with_window(config_from_gguf(file), window, sinks)
        n_ctx = check_ctx(args.ctx, config)
        n_threads = system.default_threads().count
        need = memory_of(file, config, kv_type, n_ctx, n_threads)
        layer = next_config(config) if config.n_next else None
        guessing = memory_of(file, layer, kv_type, n_ctx, n_threads).weights if layer else 0
    except ModelFileError as error:
        return None, str(error)
    sizes = kv_cache_nbytes(config, n_ctx)
    return {
        "ctx": n_ctx, "attention_window": window, "attention_sinks": sinks,
        **dataclasses.asdict(need), "total": need.total, "kv_cache_by_type": sizes,
        "n_guessing_layers": config.n_next, "guessing_layer": guessing,
    }, ""  # fmt: skip


def _totals(file: GGUFFile) -> tuple[int, int, float]:
    """Number of weights, their bytes, bits per weight."""
    n_weights = sum(math.prod(tensor.shape) for tensor in file.tensors.values())
    nbytes = sum(tensor.nbytes for tensor in file.tensors.values())
    return n_weights, nbytes, 8 * nbytes / max(n_weights, 1)


def _n_active(file: GGUFFile, n_weights: int) -> int:
    """Weights that a token goes through: of experts those that are used."""
    from halfbyte.errors import ModelFileError

    m = file.metadata
    try:
        a = m.get_str("general.architecture", "")
        n, used = (m.get_int(f"{a}.{key}", 0) for key in ("expert_count", "expert_used_count"))
    except ModelFileError:  # which is told where it is said that the file does not run
        return n_weights
    experts = [t for name, t in file.tensors.items()
               if "_exps" in name and len(t.shape) == 3 and t.shape[0] == n]  # fmt: skip
    return n_weights - sum(math.prod(t.shape) // n * (n - used) for t in experts)


def _print_text(file: GGUFFile, need: dict[str, Any] | None, why_not: str) -> None:
    n_files = f" in {len(file.paths)} files" if len(file.paths) > 1 else ""
    size = report.size(file.nbytes)
    print(f"{printable(file.path)}: GGUF version {file.version}, {size}{n_files}\n")
    print("metadata")
    for key in file.metadata.keys():
        print(f"  {printable(key)} = {_short(file.metadata.raw(key).value)}")
    print("\ntensors")
    width = max((len(name) for name in file.tensors), default=0)
    for tensor in file.tensors.values():
        shape = " x ".join(map(str, tensor.shape))
        print(
            f"  {printable(tensor.name):{width}}  {tensor.type_name:6}{shape:>16}"
            f"{report.size(tensor.nbytes):>12}"
        )
    counts = Counter(tensor.type_name for tensor in file.tensors.values())
    types = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    n_weights, nbytes, bits = _totals(file)
    n_active = _n_active(file, n_weights)
    active = f" ({n_active:,} for a token)" if n_active != n_weights else ""
    print(f"\n{len(file.tensors)} tensors, {n_weights:,} weights{active}, {types}")
    print(f"{report.size(nbytes)} of weights, {bits:.2f} bits per weight")
    _print_figures(file)
    if need is None:
        print(f"halfbyte cannot run this file: {why_not}")
    else:
        states = f"{report.size(need['states'])} states + " if need["states"] else ""
        print(
            f"memory for {_context(need)}: {report.size(need['weights'])} weights + "
            f"{report.size(need['kv_cache'])} KV cache + {states}"
            f"{report.size(need['buffers'])} buffers + "
            f"{report.size(need['tokenizer'])} vocabulary + {report.size(need['runtime'])} Python "
            f"= {report.size(need['total'])}"
        )
        if need["in_file"]:
            print(f"{report.size(need['in_file'])} stay in the file, and are read as they are used")
        products = (f"{name} {how}" for name, how in system.describe_products().items())
        print(f"products by --arithmetic: {', '.join(products)}")
        sizes = (
            f"{name} {'-' if size is None else report.size(size)}"
            for name, size in need["kv_cache_by_type"].items()
        )
        print(f"KV cache by --kv-type: {', '.join(sizes)}")
        if need["n_guessing_layers"]:
            more = report.size(need["guessing_layer"])
            print(
                f"a layer of its own guesses tokens further ahead: {more} more, not with --no-draft"
            )


def _context(need: dict[str, Any]) -> str:
    """Of how many tokens the memory is."""
    from halfbyte.families.config import MAX_CTX

    if not need["attention_window"]:
        return f"a context of {need['ctx']}"
    window = f"{need['attention_sinks']} sinks and a window of {need['attention_window']}"
    length = "text of any length" if need["ctx"] == MAX_CTX else f"context of {need['ctx']}"
    return f"{window} in a {length}"


def _print_figures(file: GGUFFile) -> None:
    """What its conversion measured, if it did."""
    from halfbyte.quality.figures import read_figures

    figures = read_figures(file.metadata)
    if figures is None or not figures.n_positions:
        return
    print(
        f"measured at conversion on {figures.n_positions} tokens, weights alone: "
        f"mean KL {figures.kl_mean:.5f}, p99 {figures.kl_p99:.5f}, top-1 {figures.top1:.2%}, "
        f"perplexity {figures.perplexity:.4f} (source {figures.perplexity_source:.4f})"
    )


def _print_json(file: GGUFFile, need: dict[str, Any] | None, why_not: str) -> None:
    metadata = {key: _plain(file.metadata.raw(key).value) for key in file.metadata.keys()}
    tensors = [
        {"name": t.name, "shape": list(t.shape), "type": t.type_name, "nbytes": t.nbytes}
        for t in file.tensors.values()
    ]
    n_weights, nbytes, bits = _totals(file)
    report.print_json({
        "path": file.path, "files": file.paths, "version": file.version, "nbytes": file.nbytes,
        "metadata": metadata, "tensors": tensors, "n_weights": n_weights,
        "n_active_weights": _n_active(file, n_weights),
        "weights_nbytes": nbytes, "bits_per_weight": bits,
        "memory": need, "products": system.describe_products(), "unsupported": why_not or None,
    })  # fmt: skip


def _first_items(value: object) -> tuple[int, list[object]] | None:
    """An array's length and first items, as plain values; None for anything else."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return None
    array: Any = value
    items = array[:_ARRAY_ITEMS]
    # Numbers lie in a NumPy array, texts in a list of bytes that need not be valid UTF-8.
    plain = items.tolist() if hasattr(items, "tolist") else list(items)
    return len(array), [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in plain
    ]


def _short(value: object) -> str:
    """One line for a value, arrays and texts cut with their length told."""
    array = _first_items(value)
    if array is not None:
        n, items = array
        more = f", ... ({n} items)" if n > len(items) else ""
        return f"[{', '.join(map(_short, items))}{more}]"
    if not isinstance(value, str):
        return str(value)
    text = repr(value)
    cut = f"{text[:_TEXT_LENGTH]}... ({len(value)} characters)"
    return text if len(text) <= _TEXT_LENGTH else cut


def _plain(value: object) -> object:
    """The value for JSON; a long array as its length and first items."""
    array = _first_items(value)
    if array is not None:
        n, items = array
        plain = [_plain(item) for item in items]
        return plain if n == len(plain) else {"length": n, "first": plain}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value
