"""Flags of how a model is computed."""

from __future__ import annotations

import argparse

KV_TYPES = ("f16", "f32", "int8", "int4")
ARITHMETICS = ("int8", "bf16")


def add_kv_type(parser: argparse._ActionsContainer) -> None:
    """--kv-type: how keys and values are stored."""
    parser.add_argument(
        "--kv-type",
        default="f16",
        choices=KV_TYPES,
        help="how keys and values are stored (default: f16)",
    )


def add_arithmetic(parser: argparse._ActionsContainer) -> None:
    """--arithmetic: how weights and activations meet."""
    parser.add_argument(
        "--arithmetic",
        default="int8",
        choices=ARITHMETICS,
        help="how weights and activations meet (docs/numerics.md; default: int8)",
    )


def add_window(parser: argparse._ActionsContainer) -> None:
    """--attention-window, --attention-sinks: a text without end; None where it is not given."""
    parser.add_argument(
        "--attention-window", type=int, metavar="N",
        help="see the last N tokens and the first ones alone, an approximation, so that a text has "
        "no end (docs/attention-window.md; default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--attention-sinks", type=int, metavar="N",
        help="first tokens that --attention-window keeps in sight (default: 4)",
    )  # fmt: skip
