"""What llama.cpp's converter reads of quantized checkpoints; it needs torch.

    PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py python -P benchmarks/llama_cpp_checkpoint.py OUT FILE...

LLAMA_CPP is a folder of its sources. Each FILE is a safetensors file with the matrix `m` and, in
its metadata, the settings; OUT becomes a .npz with the values of each by the file's name. A file
that the converter refuses has none, and a line on stdout says why.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from conversion.base import ModelBase
from safetensors import safe_open


def values(path: Path) -> np.ndarray:
    """The matrix in float32, as the converter dequantizes it."""
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()["settings"])
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "expected"}
    model = SimpleNamespace(
        hparams={"quantization_config": settings},
        model_tensors={name: lambda t=tensor: t for name, tensor in tensors.items()},
        lazy=False, _is_nvfp4=False, _fp8_as_q8=False,
    )  # fmt: skip
    ModelBase.dequant_model(model)
    (found,) = (get() for name, get in model.model_tensors.items() if name == "m.weight")
    return found.to(torch.float32).numpy()


def main() -> None:
    """Write the values of all files."""
    out, *files = map(Path, sys.argv[1:])
    found = {}
    for path in files:
        try:
            found[path.stem] = values(path)
        except Exception as error:  # whatever: it is the answer
            print(f"{path.stem}: {type(error).__name__} {error}")
    np.savez(out, **found)


if __name__ == "__main__":
    main()
