"""The text that a model is measured on, as options and as windows of tokens."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.cli import options
from halfbyte.cli.parser import Parser
from halfbyte.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halfbyte.tokenizer import Tokenizer


def add_text(parser: Parser) -> None:
    """--text, --window, --max-windows."""
    group = parser.add_argument_group("text")
    group.add_argument(
        "--text", metavar="FILE", help="UTF-8 (default: 20 kB of Python that come with halfbyte)"
    )
    group.add_argument(
        "--window", type=options.at_least_two, default=512, metavar="N",
        help="tokens that are seen together; each window begins anew (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--max-windows", type=options.positive, metavar="N", help="windows to use (default: all)"
    )


def windows_of(args: argparse.Namespace, tokenizer: Tokenizer, n_ctx: int) -> NDArray[np.int64]:
    """The text's windows, none longer than the context.

    Raises:
        RequestError: the text cannot be read, or a window exceeds the context.
    """
    from halfbyte.quality.texts import token_windows

    if args.window > n_ctx:
        raise RequestError("window", expected=f"at most the context, {n_ctx}", got=args.window)
    return token_windows(tokenizer, text_of(args), args.window, max_windows=args.max_windows)


def text_of(args: argparse.Namespace) -> str:
    """The text itself; RequestError where it cannot be read."""
    from halfbyte.quality.texts import packaged_text

    return packaged_text("heldout") if args.text is None else _read(Path(args.text))


def _read(path: Path) -> str:
    try:
        return options.decode_utf8(path.read_bytes(), "text")
    except OSError as error:
        raise RequestError("text", expected="a readable file", got=f"{path}: {error}") from error
