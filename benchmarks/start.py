"""How long it takes to begin: process start to first token, loading, importing.

    python benchmarks/start.py [--rounds 5] [--only WORD] [--wheel dist/halfbyte-....whl]

Times are of processes of their own, the files being in the page cache. llama.cpp's first token is
that of its server, from the start of the program, which warms nothing up; see llama_server.py. With
a wheel of `make wheel` the first start ever is timed of what that brings, too. A line for each time
is appended to benchmarks/results/start.jsonl.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import environments
import llama_server
import results
from protocol import Worker
from suite import model_path

from halfbyte import settings

HERE = Path(__file__).resolve().parent
HALFBYTE = Path(sys.executable).with_name("halfbyte")
PROMPT, PEER_CTX = "def fibonacci(n):", 512
# 16 tokens of the invented vocabulary (synth/metadata.py): BOS, 14 words, and a line end, after
# which no token is chosen anew.
PROMPT_16 = "bada bade badi bado badu baga bage bagi bago bagu bala bale bali balo\n"
THREADS = 2
SLOW_ROUNDS = 2
# The names of the package are resolved when first used.
IMPORT = (
    "import time; begin = time.perf_counter(); import halfbyte; halfbyte.load; "
    "print(time.perf_counter() - begin)"
)

Measure = Callable[[Path], float]


@dataclass(frozen=True, slots=True)
class Time:
    """Something to time, in seconds: of a model's file, for halfbyte and perhaps llama.cpp.

    A run that does not count comes first, unless it is the first that is asked for.
    """

    what: str
    target: float
    model: str
    ours: Measure
    peer: Measure | None = None
    warms_up: bool = True


def first_token(path: Path, env: dict[str, str] | None = None, prompt: str = PROMPT) -> float:
    """From the start of `halfbyte complete` to the first byte of its answer."""
    command = [str(HALFBYTE), "complete", "-m", str(path), "-p", prompt, "-n", "1", "--temp", "0",
               "-t", str(THREADS)]  # fmt: skip
    # As installed, with bytecode, which an environment may keep Python from writing.
    env = {**os.environ, **(env or {}), "PYTHONDONTWRITEBYTECODE": ""}
    begin = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - begin
        words = process.stderr.read().decode()
    if not first:
        sys.exit(f"no token: {words}")
    return seconds


def first_token_ever(path: Path) -> float:
    """The same with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        return first_token(path, {settings.CACHE_VARIABLE: folder})


def first_token_ever_of(wheel: Path) -> Measure:
    """The same where a wheel brings kernels; it is unpacked, with bytecode as installing makes."""
    folder = tempfile.TemporaryDirectory()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder.name)
    compileall.compile_dir(folder.name, quiet=2)

    def measure(path: Path) -> float:
        with tempfile.TemporaryDirectory() as cache:
            return first_token(path, {settings.CACHE_VARIABLE: cache, "PYTHONPATH": folder.name})

    return measure


def first_token_of_16(path: Path) -> float:
    """The same of a prompt of 16 tokens."""
    return first_token(path, prompt=PROMPT_16)


def peer_first_token(path: Path) -> float:
    """llama.cpp's server's, from its own start."""
    server = llama_server.program()
    begin = time.perf_counter()
    with llama_server.LlamaServer(server, path, THREADS, PEER_CTX, ["--no-warmup"]) as peer:
        peer.first_token(PROMPT)
        return time.perf_counter() - begin


def load(path: Path) -> float:
    """halfbyte's `load`, its kernels being compiled."""
    with Worker(sys.executable, HERE / "ours.py", path, "-t", THREADS) as ours:
        return ours.info["load_s"]


def peer_load(path: Path) -> float:
    """llama.cpp's model and context."""
    with Worker(environments.make("peer"), HERE / "peer.py", path, "-t", THREADS) as peer:
        return peer.info["load_s"]


def import_package(path: Path) -> float:
    """Within a Python that has started."""
    return float(subprocess.check_output([sys.executable, "-c", IMPORT]))


def show_help(path: Path) -> float:
    """The whole process."""
    begin = time.perf_counter()
    subprocess.run([str(HALFBYTE), "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


SMOLLM2, SEVEN = "smollm2-135m", "7b-q4_0"
TIMES = (
    Time("SmolLM2, process start to first token", 0.25, SMOLLM2, first_token, peer_first_token),
    Time("the same, first ever: kernels are compiled", 5.0, SMOLLM2, first_token_ever,
         warms_up=False),
    Time("7B Q4_0 ready, from the page cache", 1.2, SEVEN, load, peer_load),
    Time("7B Q4_0, process start to first token of 16", 1.0, SEVEN, first_token_of_16),
    Time("`import halfbyte`", 0.45, SMOLLM2, import_package),
    Time("`halfbyte --help`", 0.2, SMOLLM2, show_help),
)  # fmt: skip


def run(item: Time, rounds: int, files: Path) -> None:
    """Time something, in turns, print it and append it."""
    path = model_path(item.model, files)
    with path.open("rb") as file:  # into the page cache
        while file.read(1 << 24):
            pass
    if item.warms_up:
        item.ours(path)
    ours, peer = [], []
    for _ in range(rounds if item.warms_up else min(rounds, SLOW_ROUNDS)):
        ours.append(item.ours(path))
        if item.peer:
            peer.append(item.peer(path))
    median = statistics.median(ours)
    beside = f", llama.cpp {statistics.median(peer):.2f} s" if peer else ""
    print(f"{item.what}: {median:.2f} s{beside} (target: {item.target:.2f} s)")
    facts = {"what": item.what, "ours": ours, "peer": peer, "target": item.target,
             "is_met": median <= item.target}  # fmt: skip
    results.append("start", path, THREADS, facts)


def main() -> None:
    """Take all times, or those whose name has a word in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    parser.add_argument("--wheel", type=Path)
    args = parser.parse_args()
    results.warn_if_busy()
    times = list(TIMES)
    if args.wheel is not None:
        ever = first_token_ever_of(args.wheel)
        times.append(
            Time("the same, first ever, from a wheel that brings kernels", 5.0, SMOLLM2, ever)
        )
    for item in times:
        if args.only in item.what:
            run(item, args.rounds, args.files)


if __name__ == "__main__":
    main()
