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
