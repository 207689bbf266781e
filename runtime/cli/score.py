"""`halfbyte score`: how likely continuations of a text are."""

from __future__ import annotations

import argparse

from halfbyte.cli import options, report, streams
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.description = "Rank continuations of a text: natural logarithms of their probabilities."
    options.add_model(parser)
    parser.add_argument(
        "-p", "--prompt", type=options.text_of, default="", metavar="TEXT",
        help="the text before them (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "continuations", nargs="+", type=options.text_of, metavar="CONTINUATION",
        help="a text to score",
    )  # fmt: skip
    options.add_engine(parser)
    options.add_adapter(parser)
    options.add_prompt_cache(parser)
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print the scores in the order of the arguments."""
    with options.load_model(args) as model:
        scores = model.score(args.prompt, args.continuations, progress=BAR)
        path = model.path
    BAR.clear()
    if args.json:
        each = zip(args.continuations, scores, strict=True)
        report.print_json({
            "model": path, "prompt": args.prompt,
            "scores": [{"continuation": text, **score.to_dict()} for text, score in each],
        })  # fmt: skip
        return
    print(f"{'sum':>10} {'a token':>9} {'a byte':>9}")
    for text, score in zip(args.continuations, scores, strict=True):
        numbers = f"{score.logprob:10.4f} {score.per_token:9.4f} {score.per_byte:9.4f}"
        print(f"{numbers}  {streams.for_stdout(repr(text))}")
