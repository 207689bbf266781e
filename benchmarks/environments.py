"""The environments of the peers that halfbyte is compared with, one folder each below `.venvs`.

    python environments.py peer          llama.cpp, built here for this very CPU (minutes)
    python environments.py peer-avx512   the same with AVX-512 VNNI and no AMX
    python environments.py peer-avx2     the same with AVX2 alone
    python environments.py torch         torch and transformers
    python environments.py plot          matplotlib, which draws results

Each is made from its requirements file, and remade when that or its compiler's flags change. Only
the standard library is used: it runs from any python3.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REQUIREMENTS = {
    "peer": HERE / "requirements-peer.txt",
    "peer-avx512": HERE / "requirements-peer.txt",
    "peer-avx2": HERE / "requirements-peer.txt",
    "torch": HERE / "requirements-oracles.txt",
    "plot": HERE / "requirements-plot.txt",
}
# A wheel built elsewhere would be slower than what users of llama.cpp get, or crash.
_FROM_SOURCE = ("--no-cache-dir", "--no-binary", "llama-cpp-python")
_RELEASE = "-DCMAKE_BUILD_TYPE=Release -DLLAVA_BUILD=OFF"
_AVX2 = f"{_RELEASE} -DGGML_NATIVE=OFF " + " ".join(
    f"-DGGML_{name}=ON" for name in ("AVX", "AVX2", "FMA", "F16C", "BMI2")
)
_AVX512 = " ".join(
    f"-DGGML_{name}=ON" for name in ("AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16")
)
# GCC 12 takes the configuration of AMX's tiles, which only `_tile_loadconfig` reads, for a dead
# store: llama.cpp then loads an empty one and crashes in prefill.
_KEEP_STORES = "-fno-tree-dse -fno-dse"
FLAGS = {
    "peer": {
        "CMAKE_ARGS": f"{_RELEASE} -DGGML_NATIVE=ON",
        "CFLAGS": _KEEP_STORES,
        "CXXFLAGS": _KEEP_STORES,
    },
    "peer-avx512": {"CMAKE_ARGS": f"{_AVX2} {_AVX512}"},
    "peer-avx2": {"CMAKE_ARGS": _AVX2},
}


def python_of(name: str) -> Path:
    """The interpreter of an environment, made or not."""
    folder = ROOT / ".venvs" / name
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp(name: str) -> str:
    """What an environment is made from, as its folder records it."""
    flags = [f"# {key}={value}\n" for key, value in sorted(FLAGS.get(name, {}).items())]
    return REQUIREMENTS[name].read_text("utf-8") + "".join(flags)


def make(name: str) -> Path:
    """Make an environment unless it is up to date; the path of its interpreter.

    Raises:
        subprocess.CalledProcessError: an installation failed; pip has said why.
    """
    folder, python, wanted = ROOT / ".venvs" / name, python_of(name), REQUIREMENTS[name]
    made_from = folder / "requirements.txt"
    if made_from.is_file() and made_from.read_text("utf-8") == stamp(name):
        return python
    print(f"Installing {wanted.name} into .venvs/{name}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=name in FLAGS)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options = [*(_FROM_SOURCE if name in FLAGS else ()), "-r", str(wanted)]
    flags = FLAGS.get(name, {})
    subprocess.run([*pip, *options], check=True, stdout=sys.stderr, env=os.environ | flags)
    made_from.write_text(stamp(name), "utf-8")
    return python


def main() -> None:
    """Make the environments that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=REQUIREMENTS)
    for name in parser.parse_args().names:
        make(name)


if __name__ == "__main__":
    main()
