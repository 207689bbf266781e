"""`halfbyte compare`: how far two versions of a model are apart on a text.

Two kinds of figures, which are never mixed:

    weights   both models' weights in float arithmetic: what their conversions did
    as run    both as the engine runs them, with quantized activations and its cache

A Hugging Face folder has weights only: the engine does not run it.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfbyte.cli import options, report, texts
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halfbyte.quality.distance import Distance
    from halfbyte.quality.layer_source import LayerSource
    from halfbyte.tokenizer import Tokenizer

_N_WORST = 8
_N_CONTEXT = 12  # tokens shown before a position


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("a", metavar="A", help="the reference: a .gguf file or a folder")
    parser.add_argument("b", metavar="B", help="the other: a .gguf file or a folder")
    texts.add_text(parser)
    options.add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print both kinds of figures, and the positions where the weights differ most."""
    from halfbyte.gguf.split import model_file
    from halfbyte.models import catalogue
    from halfbyte.quality.distance import distance, measure

    paths = [model_file(catalogue.resolve(name, pull=False)) for name in (args.a, args.b)]
    with contextlib.ExitStack() as stack:
        tokenizer, (a, b) = _open(stack, paths)
        windows = texts.windows_of(args, tokenizer, args.ctx or args.window)
        found = {"weights": measure(a, b, windows, progress=BAR).distance}
        if not any(path.is_dir() for path in paths):
            found["as run"] = distance(
                windows, *(_as_run(stack, path, windows, args) for path in paths)
            )
    BAR.clear()
    if args.json:
        figures: dict[str, Any] = {name: _figures(d) for name, d in found.items()}
        worst = list(_worst(found["weights"], tokenizer))
        report.print_json({
            "a": str(paths[0]), "b": str(paths[1]), "n_windows": len(windows),
            "window": windows.shape[1], **figures, "worst": worst,
        })  # fmt: skip
        return
    _print(found, tokenizer)


def _open(stack: contextlib.ExitStack, paths: list[Path]) -> tuple[Tokenizer, list[LayerSource]]:
    """Both models' tensors, and their one tokenizer."""
    from halfbyte.converting.sources.source import open_source
    from halfbyte.tokenizer import Tokenizer

    tokenizers = [Tokenizer.from_path(path) for path in paths]
    opened = [stack.enter_context(contextlib.closing(open_source(path))) for path in paths]
    sources = [source.layers() for source in opened]
    configs = [source.config for source in sources]
    vocabularies = [_pieces(tokenizer) for tokenizer in tokenizers]
    shapes = [[c.n_layers, c.n_heads, c.n_kv_heads, c.head_dim] for c in configs]
    for name, (a, b) in (("vocabulary", vocabularies), ("shape", shapes)):
        if a != b:
            raise RequestError("B", expected=f"the {name} of A", got=str(paths[1]))
    return tokenizers[0], sources


def _pieces(tokenizer: Tokenizer) -> list[object]:
    """The vocabulary without the tokens that a conversion fills up with."""
    return [piece for piece in tokenizer.vocabulary.pieces if not piece.startswith(b"[PAD")]


def _as_run(
    stack: contextlib.ExitStack, path: Path, windows: NDArray[np.int64], args: argparse.Namespace
) -> Iterator[NDArray[np.float32]]:
    """A model's logits, window by window."""
    import halfbyte

    model = stack.enter_context(
        halfbyte.load(
            path,
            threads=args.threads,
            ctx=args.ctx,
            kv_type=args.kv_type,
            arithmetic=args.arithmetic,
            attention_window=args.attention_window,
            attention_sinks=args.attention_sinks,
            progress=BAR,
        )
    )
    return (model.logits(window.tolist()) for window in windows)


def _figures(d: Distance) -> dict[str, float]:
    perplexity_a, perplexity_b = d.perplexities
    return {
        "n_positions": d.kl.size, "kl_mean": d.mean_kl, "kl_p99": d.p99_kl, "top1": d.top1,
        "perplexity_a": perplexity_a, "perplexity_b": perplexity_b,
    }  # fmt: skip


def _worst(d: Distance, tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    """The positions with the largest KL, and what stands there."""
    for flat in d.kl.ravel().argsort()[::-1][:_N_WORST].tolist():
        window, at = divmod(flat, d.kl.shape[1])
        ids = d.ids[window].tolist()
        yield {
            "kl": float(d.kl[window, at]),
            "window": window,
            "position": at,
            "before": tokenizer.decode(ids[max(0, at + 1 - _N_CONTEXT) : at + 1]),
            "next": tokenizer.decode(ids[at + 1 : at + 2]),
            "a": tokenizer.decode([int(d.reference_top[window, at])]),
            "b": tokenizer.decode([int(d.other_top[window, at])]),
        }


def _print(found: dict[str, Distance], tokenizer: Tokenizer) -> None:
    print(f"{'':10}{'mean KL':>10}{'p99 KL':>10}{'top-1':>9}{'ppl of A':>11}{'ppl of B':>11}")
    for name, d in found.items():
        a, b = d.perplexities
        print(f"{name:10}{d.mean_kl:10.5f}{d.p99_kl:10.5f}{d.top1:9.2%}{a:11.4f}{b:11.4f}")
    weights = found["weights"]
    print(f"\n{weights.kl.size} positions, windows of {weights.kl.shape[1]}")
    print("where the weights differ most: KL, text before, most likely token of A and of B")
    for place in _worst(weights, tokenizer):
        print(f"{place['kl']:8.4f}  {place['before']!r}  {place['a']!r}  {place['b']!r}")
