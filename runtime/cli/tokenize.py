"""`halfbyte tokenize`: the tokens of a text, or of the prompt that asks for a middle."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.cli import options, report, streams
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.models import DEFAULT_INFILL_MODEL, DEFAULT_MODEL

if TYPE_CHECKING:
    from halfbyte.tokenizer import Tokenizer


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-m", "--model",
        help="a .gguf file, a tokenizer.model, a tokenizer.json, a folder with one of these, or a "
        f"name as for complete (default: {DEFAULT_MODEL}; with --infill: {DEFAULT_INFILL_MODEL})",
    )  # fmt: skip
    options.add_prompt(parser)
    parser.add_argument("--no-bos", action="store_true", help="never begin with the BOS token")
    parser.add_argument(
        "--parse-markers", action="store_true",
        help="read text that spells a marker, such as ' <EOT>', as that marker",
    )  # fmt: skip
    parser.add_argument(
        "--infill", action="store_true",
        help="show the prompt for a text with <FILL_ME>, as the model's reference lays it out",
    )  # fmt: skip
    options.add_order(parser)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Print id and piece of each token, one a line."""
    prompt = options.prompt_of(args)
    from halfbyte.gguf.split import model_file
    from halfbyte.models import catalogue
    from halfbyte.tokenizer import Tokenizer

    default = DEFAULT_INFILL_MODEL if args.infill else DEFAULT_MODEL
    path = model_file(catalogue.resolve(args.model or default, progress=BAR))
    BAR.clear()
    tokenizer = Tokenizer.from_path(path)
    order: dict[str, str] = {}
    if args.infill:
        ids, order["order"] = _infilling(tokenizer, prompt, args)
    else:
        add_bos = False if args.no_bos else None
        ids = tokenizer.encode(prompt, add_bos=add_bos, parse_markers=args.parse_markers)
    pieces = {i: tokenizer.piece(i) for i in set(ids)}
    if args.json:
        named = (pieces[i] for i in ids)
        report.print_json_in_parts({"ids": iter(ids), "pieces": named, **order})
        return
    lines = {i: f"{i:8}  {piece!r}\n" for i, piece in pieces.items()}
    sys.stdout.writelines(lines[i] for i in ids)
    for name, value in order.items():
        streams.note(f"{name} {value}")


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Let argparse complain where options do not go together."""
    if args.order and not args.infill:
        parser.error("--order is for --infill")
    if args.no_bos and args.infill:
        parser.error("--no-bos is not for --infill, whose layout says where BOS stands")


def _infilling(
    tokenizer: Tokenizer, prompt: str, args: argparse.Namespace
) -> tuple[list[int], str]:
    """The ids of an infilling prompt, nothing healed, and the order they are in."""
    from halfbyte.prompt.infill import require_format, split_marker

    prefix, suffix = split_marker(prompt)
    found = require_format(tokenizer, _names(tokenizer.path)).prompt(
        prefix, suffix, order=args.order or "auto", heal=False, parse_markers=args.parse_markers
    )
    return found.tokens, found.order


def _names(path: str) -> tuple[str, ...]:
    """What the model is called that a tokenizer comes from."""
    from halfbyte.families.model_card import ModelCard
    from halfbyte.gguf.file import GGUFFile

    if not path.endswith(".gguf"):
        return (Path(path).parent.name,)
    with GGUFFile.open(path) as file:
        return ModelCard.from_gguf(file).names
