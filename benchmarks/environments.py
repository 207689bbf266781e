"""The environments of the peers that halfbyte is compared with, one folder each below `.venvs`.

    python environments.py peer     llama.cpp, built here from source for this very CPU (minutes)
    python environments.py torch    torch and transformers

Each is made from its requirements file, and remade when that changes. Only the standard library
is used: it runs from any python3.
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
    "torch": HERE / "requirements-oracles.txt",
}
# A wheel built elsewhere would be slower than what users of llama.cpp get, or crash.
FROM_SOURCE = {"peer": ["--no-cache-dir", "--no-binary", "llama-cpp-python"]}
NATIVE = {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release"}


def python_of(name: str) -> Path:
    """The interpreter of an environment, made or not."""
    folder = ROOT / ".venvs" / name
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make(name: str) -> Path:
    """Make an environment unless it is up to date; the path of its interpreter.

    Raises:
        subprocess.CalledProcessError: an installation failed; pip has said why.
    """
    python, wanted = python_of(name), REQUIREMENTS[name]
    stamp = ROOT / ".venvs" / name / "requirements.txt"
    if stamp.is_file() and stamp.read_bytes() == wanted.read_bytes():
        return python
    print(f"Installing {wanted.name} into .venvs/{name}", file=sys.stderr)
    venv.create(ROOT / ".venvs" / name, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options = [*FROM_SOURCE.get(name, []), "-r", str(wanted)]
    subprocess.run([*pip, *options], check=True, stdout=sys.stderr, env=os.environ | NATIVE)
    stamp.write_bytes(wanted.read_bytes())
    return python


def main() -> None:
    """Make the environments that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=REQUIREMENTS)
    for name in parser.parse_args().names:
        make(name)


if __name__ == "__main__":
    main()
