"""Tensors that a model does without, though its file or checkpoint has them: each has a word said.

Any other tensor that is not asked for is an error, since to ignore it might change the result.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.next_tokens import of_next_tokens
from halfbyte.families.shared_layers import of_sharing_layers


def left_out(
    names: Collection[str], path: str | os.PathLike[str], family: Family, config: ModelConfig
) -> frozenset[str]:
    """Those among the names of a file of the family, or of a checkpoint, that are left out."""
    ahead = of_next_tokens(names, path, family, config.n_layers)
    return ahead | of_sharing_layers(names, path, config)
