"""`halfbyte complete`: continue a text."""

from __future__ import annotations

import argparse

from halfbyte.cli import options, output
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_model(parser)
    options.add_prompt(parser)
    options.add_heal(parser)
    options.add_sampling(parser)
    options.add_engine(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Stream the continuation to stdout, then one line of statistics to stderr."""
    prompt, sampling = options.prompt_of(args), options.sampling_of(args)
    with options.load_model(args) as model:
        stream = model.stream(prompt, heal=args.heal, progress=BAR, **sampling)
        output.answer(model, stream, as_json=args.json)
