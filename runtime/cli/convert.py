"""`halfbyte convert`: a Hugging Face folder to one .gguf file."""

from __future__ import annotations

import argparse
import sys

from halfbyte.cli import options
from halfbyte.cli.progress import BAR


def add(commands: options.Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("convert", help="make a .gguf file from a Hugging Face folder")
    parser.add_argument("src", metavar="SRC", help="the folder with safetensors and tokenizer")
    parser.add_argument("dst", metavar="DST", help="the .gguf file to write")
    parser.add_argument(
        "--type", default="q8_0", metavar="TYPE", help="f32, f16, q8_0 or q4_0 (default: q8_0)"
    )
    parser.add_argument("--force", action="store_true", help="replace DST if it exists")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write DST."""
    from halfbyte.convert import convert

    report = convert(args.src, args.dst, type=args.type, force=args.force, progress=BAR)
    BAR.clear()
    print(report, file=sys.stderr)
