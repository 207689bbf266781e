"""Print a digest of each model's logits: tests compare processes by it.

python digests.py ISA CACHE_FOLDER MODEL...
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from small_models import SHAPES, Model, build, run

from halfbyte.families.attention_window import with_window
from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.pool import Pool

# Once more with a window that is asked for, and sinks: of floats and of codes.
WINDOWED = ("positions", "int8")


def main(isa: str, cache: str, *names: str) -> None:
    """Print digests of the models, each of a prompt in two chunks and some single tokens."""
    target.force(isa)
    jit.set_cache_root(Path(cache))
    for name in names:
        pool = Pool(2)
        model = build(SHAPES[name], pool)
        print(name, _digest(model, pool))
        if name in WINDOWED:
            asked = replace(model, config=with_window(model.config, 60, 4))
            print(name, "with sinks", _digest(asked, pool))
        pool.close()


def _digest(model: Model, pool: Pool) -> str:
    logits = run(model.engine(pool), model.tokens(180), [130, 40, *[1] * 10])
    return f"{logits.shape} {hashlib.sha256(np.ascontiguousarray(logits)).hexdigest()}"


if __name__ == "__main__":
    main(*sys.argv[1:])
