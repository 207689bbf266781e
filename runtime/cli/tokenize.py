"""`halfbyte tokenize`: the tokens of a text."""

from __future__ import annotations

import argparse

from halfbyte.cli import options, report
from halfbyte.cli.progress import BAR


def add(commands: options.Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("tokenize", help="show the tokens of a text")
    options.add_model(parser)
    options.add_prompt(parser)
    parser.add_argument("--no-bos", action="store_true", help="never begin with the BOS token")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Print id and piece of each token, one a line."""
    prompt = options.prompt_of(args)
    from halfbyte import catalogue
    from halfbyte.gguf_file import GGUFFile
    from halfbyte.tokenizer import Tokenizer

    path = catalogue.resolve(args.model, progress=BAR)
    BAR.clear()
    with GGUFFile.open(path, strict_types=False) as file:
        tokenizer = Tokenizer.from_gguf(file)
        ids = tokenizer.encode(prompt, add_bos=False if args.no_bos else None)
        pieces = [tokenizer.piece(i) for i in ids]
    if args.json:
        report.print_json({"ids": ids, "pieces": pieces})
        return
    for i, piece in zip(ids, pieces, strict=True):
        print(f"{i:8}  {piece!r}")
