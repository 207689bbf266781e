"""Which layers of a model guess tokens further ahead (next_layer.py), and those that are left out.

They stand behind a model's layers, under the numbers that follow, or have names of their own. Of
families that do not name them they are left out, with a word: no logits depend on them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable

from halfbyte.families.config import KEYS, MAX_LAYERS
from halfbyte.families.family import Family
from halfbyte.files.file_warnings import warn_about
from halfbyte.gguf.metadata import Metadata

log = logging.getLogger(__name__)

NEXT_KEY = "nextn_predict_layers"  # in GGUF: of the layers that block_count says
# What a family reads whose models may have them.
NEXT_KEYS = frozenset({NEXT_KEY, "num_nextn_predict_layers", "num_mtp_layers"})
_IN_LAYER = re.compile(r"(?:blk|model\.layers)\.(\d+)\.")
_JOINS = "eh_proj.weight"
_OWN_NAMES = ("model.mtp_", "mtp.")


def n_layers_of(m: Metadata, family: Family) -> int:
    """The layers of a model without these; ModelFileError where none is left."""
    key = f"{family.architecture}.{KEYS['n_layers'].gguf}"
    n = m.get_int(key, minimum=1, maximum=MAX_LAYERS)
    if NEXT_KEY not in family.reads:
        return n
    return n - m.get_int(f"{family.architecture}.{NEXT_KEY}", 0, maximum=n - 1)


def of_next_tokens(
    names: Iterable[str], path: str | os.PathLike[str], family: Family, n_layers: int
) -> frozenset[str]:
    """The tensors of such layers, where a family does not name them; a word if there are any."""
    if family.next_names is not None or not NEXT_KEYS & family.reads:
        return frozenset()
    names = list(names)
    layers = _layers_ahead(names, n_layers)
    found = sorted(name for name in names if _is_of_them(name, layers))
    if found:
        warn_about(
            log, path, "left out, as they guess tokens further ahead: %d tensors, %s and so on",
            len(found), found[0],
        )  # fmt: skip
    return frozenset(found)


def _layers_ahead(names: Iterable[str], n_layers: int) -> set[str]:
    """The numbers of such layers: each joins a token to the state before it, as no other does."""
    found = (_IN_LAYER.match(name) for name in names if name.endswith(_JOINS))
    return {layer[1] for layer in found if layer and int(layer[1]) >= n_layers}


def _is_of_them(name: str, layers: set[str]) -> bool:
    found = _IN_LAYER.match(name)
    return found[1] in layers if found else name.startswith(_OWN_NAMES)
