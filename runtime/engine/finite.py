"""Whether a model's numbers are any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError


def check_finite(logits: NDArray[np.float32], first: int) -> None:
    """EngineError where a logit is NaN or infinite; row i is the position first + i."""
    if not logits.size or (np.isfinite(logits.min()) and np.isfinite(logits.max())):
        return  # both are NaN where one is
    row, token = np.argwhere(~np.isfinite(logits))[0]
    raise EngineError(
        f"the model's logits are not finite: position {first + row}, token {token}: "
        f"{logits[row, token]}",
        hint="the file is damaged, or its numbers are too large for this model's arithmetic",
    )
