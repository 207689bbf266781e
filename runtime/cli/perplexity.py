"""`halfbyte perplexity`: how well a model predicts a text, as the engine runs it.

The text is cut into windows of tokens, each beginning with BOS where the vocabulary wants one and
seeing nothing of the others; every token of a window but the first is predicted and counts. As
llama.cpp counts, only those of its second half do, and BOS takes the place of its first token.
"""

from __future__ import annotations

import argparse
import math
from functools import partial

from halfbyte.cli import options, report, streams, texts
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_looked_at(parser)
    texts.add_text(parser)
    options.add_engine(parser)
    options.add_adapter(parser)
    parser.add_argument(
        "--llama-cpp", action="store_true", help="count as llama.cpp's perplexity tool does"
    )
    parser.checks.append(partial(_check, parser))
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print the perplexity and its standard error."""
    if args.llama_cpp:
        _run_as_llama_cpp(args)
        return
    from halfbyte.quality.perplexity import token_losses

    with options.load_model(args) as model:
        windows = texts.windows_of(args, model.tokenizer, model.n_ctx)
        loss = token_losses(model.logits, windows, BAR)
        path = model.path
    BAR.clear()
    mean = float(loss.mean())
    error = float(loss.std(ddof=1) / math.sqrt(loss.size)) if loss.size > 1 else 0.0
    if args.json:
        report.print_json({
            "model": path, "arithmetic": "as run", "perplexity": math.exp(mean),
            "standard_error": math.exp(mean) * error, "nats_per_token": mean,
            "n_tokens": loss.size, "n_windows": len(windows), "window": windows.shape[1],
        })  # fmt: skip
        return
    print(f"perplexity {math.exp(mean):.4f} +- {math.exp(mean) * error:.4f} (as run)")
    streams.note(
        f"{loss.size} tokens predicted in {len(windows)} windows of {windows.shape[1]}: {path}",
    )


def _run_as_llama_cpp(args: argparse.Namespace) -> None:
    with options.load_model(args) as model:
        found = model.perplexity(texts.text_of(args), window=args.window, progress=BAR)
        path = model.path
    BAR.clear()
    if args.json:
        report.print_json({
            "model": path, "arithmetic": "as run", "counted": "as llama.cpp does",
            "perplexity": found.value, "standard_error": found.standard_error,
            "nats_per_token": math.log(found.value), "n_tokens": found.n_tokens,
            "n_windows": found.n_windows, "window": found.window,
        })  # fmt: skip
        return
    print(f"perplexity {found.value:.4f} +- {found.standard_error:.5f} (as run)")
    streams.note(
        f"{found.n_tokens} tokens counted, in the second halves of {found.n_windows} windows of "
        f"{found.window}: {path}",
    )


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.llama_cpp and args.max_windows is not None:
        parser.error("--max-windows is not for --llama-cpp, which takes all windows")
