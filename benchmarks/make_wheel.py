"""A wheel that brings the machine code of common kernels, so that a first start compiles nothing.

    python3 benchmarks/make_wheel.py [--out dist] [--isa avx512vnni avxvnni avx2]

For x86-64 Linux. Of the named ISAs those are compiled that this CPU has; SHAPES and TYPES say for
which models, with keys and values in half precision. What a wheel lacks is compiled at the first
start, as where there is none. Needs the build tools that `make wheel` installs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLATFORM = "manylinux2014_x86_64"  # the code needs no library; NumPy and LLVM need as much
# Features of a head, and query heads a KV head: SmolLM2, Code Llama and Llama 2, Llama 3, Mistral,
# Qwen2.5 and Qwen3 of all sizes, TinyLlama, DeepSeek-Coder.
SHAPES = ((64, 1), (64, 3), (64, 4), (64, 7), (64, 8), (128, 1), (128, 2), (128, 4), (128, 5),
          (128, 6), (128, 7), (128, 8))  # fmt: skip
TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16")


def main() -> None:
    """Build, add the code, and pack again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "dist")
    parser.add_argument("--isa", nargs="+", default=["avx512vnni", "avxvnni", "avx2"])
    parser.add_argument("--compile", type=Path, help=argparse.SUPPRESS)  # for one ISA, to there
    args = parser.parse_args()
    if args.compile is not None:
        compile_kernels(args.compile, args.isa[0])
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        built, unpacked = Path(work) / "built", Path(work) / "unpacked"
        python(["-m", "pip", "wheel", "-q", "--no-deps", "-w", built, HERE.parent])
        (plain,) = built.glob("*.whl")
        python(["-m", "wheel", "unpack", "-d", unpacked, plain])
        (package,) = unpacked.iterdir()
        for isa in args.isa:
            command = [HERE / "make_wheel.py", "--isa", isa, "--compile",
                       package / "halfbyte" / "kernels" / "ready"]  # fmt: skip
            python(command, {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1",
                             "HALFBYTE_CACHE": str(Path(work) / "cache")})  # fmt: skip
        python(["-m", "wheel", "pack", "-d", built, package])
        python(["-m", "wheel", "tags", "--remove", "--platform-tag", PLATFORM, plain])
        for wheel in built.glob("*.whl"):
            target = args.out / wheel.name
            target.write_bytes(wheel.read_bytes())
            print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def python(command: list[str | Path], env: dict[str, str] | None = None) -> None:
    """Run this Python in a folder where no source of ours lies."""
    whole = [sys.executable, *map(str, command)]
    subprocess.run(whole, check=True, cwd=tempfile.gettempdir(), env={**os.environ, **(env or {})})


def compile_kernels(root: Path, isa: str) -> None:
    """Put an ISA's kernels into the package, which this process imports."""
    from halfbyte.engine.model_kernels import kernels_for
    from halfbyte.families.config import ModelConfig, RopeConfig
    from halfbyte.kernels.compiler import jit, ready, target
    from halfbyte.kernels.layouts.panels import PANEL_FORMATS

    if isa not in target.supported():
        print(f"{isa}: left out, this CPU has {', '.join(target.supported())}")
        return
    target.force(isa, least=True)
    folder = ready.folder_of(target.current(), jit.SOURCES, root)
    if folder is None:
        raise SystemExit(f"{isa}: is compiled for each CPU by itself")
    folder.mkdir(parents=True)
    kernels = {}
    for head_dim, group in SHAPES:
        for name in TYPES:
            config = ModelConfig("llama", "", head_dim * group, 32, 1, group, 1, head_dim, 1, 128,
                                 1e-6, RopeConfig(1e4))  # fmt: skip
            formats = {"token_embd.weight": PANEL_FORMATS[name]}
            found = kernels_for(config, "f16", formats)
            kernels |= {kernel.name: kernel for kernel in found}
    nbytes = sum(ready.write(folder, name, made.new_code) for name, made in kernels.items())
    print(f"{isa}: {len(kernels)} kernels, {nbytes / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
