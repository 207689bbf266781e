"""Write a GGUF file of a given shape with random weights, to measure speed with.

    python benchmarks/synth_gguf.py 7b q4_0 FILE.gguf

The weights are Gaussian noise, quantized by the `gguf` package or, where that cannot, by halfbyte,
of a size that keeps activations sane: the model runs at its real speed and writes rubbish. The
vocabulary is invented (words of made-up syllables), so nobody's tokenizer is in the file. Tensors
are written one at a time. A 7b q4_0 file has 3.8 GB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as Type
from synth.blocks import TYPES, Young
from synth.floats import floats
from synth.matrices import matrices
from synth.metadata import add_metadata
from synth.shapes import SHAPES, Shape
from synth.writing import Typed, write_tensors


def write(shape: Shape, kind: Type | Young, path: Path) -> None:
    """Write a file. It appears under its name when it is whole."""
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, shape.architecture)
    add_metadata(writer, shape)
    write_tensors(writer, _typed(shape, kind), floats(shape))
    os.replace(part, path)


def _typed(shape: Shape, kind: Type | Young) -> Iterator[Typed]:
    """The matrices with types: rows that are no whole blocks, and what guesses, have 8 bits."""
    for name, dims in matrices(shape):
        guesses = name.startswith("blk.") and int(name.split(".")[1]) >= shape.n_layers
        is_whole = dims[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        yield name, dims, kind if is_whole and not guesses else Type.Q8_0


def ensure(name: str, folder: Path) -> Path:
    """The file of a name such as `7b-q4_0`, written into `folder` unless it is there."""
    shape, _, kind = name.rpartition("-")
    path = folder / f"{name}.gguf"
    if not path.is_file():
        print(f"writing {path}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        write(SHAPES[shape], TYPES[kind], path)
    return path


def names() -> list[str]:
    """Every name that `ensure` knows."""
    return [f"{shape}-{kind}" for shape in SHAPES for kind in TYPES]


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    write(SHAPES[args.shape], TYPES[args.type], args.out)


if __name__ == "__main__":
    main()
