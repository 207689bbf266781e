"""`halfbyte complete`: continue a text."""

from __future__ import annotations

import argparse
from functools import partial

from halfbyte.cli import candidates, constraints, options, output
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_model(parser)
    options.add_prompt(parser, unless="prompts")
    group = parser.add_argument_group("many prompts")
    group.add_argument(
        "--prompts", metavar="FILE",
        help='JSON lines: a text each, or {"prompt": ..., "id": ...}; - is stdin; they are decoded '
        "together, and come out as JSON lines",
    )  # fmt: skip
    group.add_argument(
        "--output", metavar="FILE",
        help="where to; what it has is not computed again (default: stdout)",
    )  # fmt: skip
    parser.checks.append(partial(_check, parser))
    options.add_heal(parser)
    options.add_syntax(parser)
    parser.add_argument(
        "--truncate", choices=("left", "middle"),
        help="what the model is not shown of a prompt that does not fit beside its answer: its "
        "beginning, or what is between two halves (default: that is an error)",
    )  # fmt: skip
    options.add_sampling(parser, has_cursor=True)
    candidates.add_candidates(parser)
    constraints.add(parser)
    options.add_engine(parser)
    options.add_prompt_cache(parser)
    options.add_adapter(parser)
    options.add_draft(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Stream the continuation to stdout, then one line of statistics to stderr."""
    sampling = options.sampling_of(args) | constraints.of(args) | options.syntax_of(args)
    if args.truncate is not None:
        sampling["truncate"] = args.truncate
    if args.prompts is not None:
        from halfbyte.cli import prompts

        prompts.run(args, sampling)
        return
    prompt = options.prompt_of(args)
    wanted = candidates.candidates_of(args)
    with options.load_model(args) as model:
        if wanted.keys() & {"n", "best_of", "num_beams"}:
            found = model.complete(prompt, heal=args.heal, progress=BAR, **wanted, **sampling)
            output.answers(model, found, as_json=args.json)
            return
        stream = model.stream(prompt, heal=args.heal, progress=BAR, **wanted, **sampling)
        output.answer(model, stream, as_json=args.json)


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """What goes together."""
    if args.output is not None and args.prompts is None:
        parser.error("--output is for --prompts")
    if args.json and args.prompts is not None:
        parser.error("--json is for one prompt: what --prompts writes is JSON")
