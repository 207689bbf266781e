"""An adapter's folder in parts, to be changed before it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig

F32 = NDArray[np.float32]


@dataclass
class Saved:
    """A folder to be changed before it is read."""

    path: Path
    config: ModelConfig
    stated: dict[str, Any]
    tensors: dict[str, F32]

    def write(self, **stated: Any) -> Path:
        """Write what it holds now; `stated`: other keys of adapter_config.json."""
        from safetensors.numpy import save_file

        self.path.mkdir(exist_ok=True)
        (self.path / "adapter_config.json").write_text(json.dumps({**self.stated, **stated}))
        save_file(self.tensors, self.path / "adapter_model.safetensors")
        return self.path
