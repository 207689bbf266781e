"""Conversions that are killed, find the disk full or have a rival.

    python -m tests.mutants.interrupted [--kills 30] [--steps 60] [--full 30] [--rivals 20]
        [--seed 0]

`make test-interrupted-conversions` does all of it.
Whatever happens, what lies under a final name verifies, or is what lay there before; and the next
conversion to that name leaves nothing beside it. Exit status 1 where that is not so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import tiny_llama as tiny
from tests.mutants.seeds import ROOT

SHAPE = {"dim": 64, "hidden_dim": 128, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "head_dim": 16}
NAMES = ("model.gguf", "matrix.gguf", "report.html")
_UNMEASURED = ("golden", None)
PATIENCE = 120  # seconds, for the worst of machines
# What touches files, as sys.addaudithook hears it.
STEPS = ("open", "os.truncate", "os.link", "os.rename", "os.remove", "mmap.__new__", "fcntl.flock")


@dataclass(frozen=True)
class Job:
    """A conversion to `folder`: plain, measured, or calibrated with its matrix saved.

    Attributes:
        step: the step at which the process kills itself; 0: none.
    """

    source: str
    folder: str
    type: str = "q8_0"
    kind: str = "plain"
    force: bool = True
    step: int = 0

    def run(self, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Convert."""
        import halfbyte

        model, matrix, report = (Path(self.folder) / name for name in NAMES)
        is_measured = self.kind != "plain"
        more: dict[str, Any] = {"report": report} if is_measured else {}
        if self.kind == "calibrated":
            text = Path(self.source) / "text.txt"
            more |= {"calibrate": text, "save_imatrix": matrix}
        halfbyte.convert(
            self.source, model, type=self.type, measure=is_measured, force=self.force, threads=2,
            progress=progress, **more,
        )  # fmt: skip


KINDS = ("plain", "measured", "calibrated")


def make_source(folder: Path) -> Path:
    """A model whose conversion takes a while, as a Hugging Face folder, with a text."""
    shape = {**SHAPE, "vocab_size": 900, "rope_theta": 1e4, "tied": False, "n_ctx": 64}
    tiny.save(tiny.Tiny("interrupted", 7, **shape), folder)
    (folder / "text.txt").write_text("def f(x):\n    return x\n" * 20)
    return folder


def faults_of(folder: Path, before: dict[str, bytes]) -> list[str]:
    """What is wrong with the files that have their final names; `before` lay there before."""
    from halfbyte.converting.calibration.importance import load_importance
    from halfbyte.verification import verify

    faults = []
    for path in sorted(folder.iterdir()):
        if path.name not in NAMES or path.read_bytes() == before.get(path.name):
            continue
        try:
            if path.name == "model.gguf":
                checks = verify(path, threads=1)
                # Of checksums that were not patched in, nothing would be known.
                bad = [c for c in checks if not c.is_same and (c.name, c.is_same) != _UNMEASURED]
                faults += [f"{path.name}: {c.name}: {c.detail}" for c in bad]
            elif path.name == "matrix.gguf":
                load_importance(path)
            elif not path.read_text("utf-8").rstrip().endswith("</html>"):
                faults.append(f"{path.name} is cut short")
        except Exception as error:
            faults.append(f"{path.name}: {type(error).__name__}: {error}")
    for name in before:
        if not (folder / name).exists():
            faults.append(f"{name} is gone")
    return faults


def strangers(folder: Path) -> list[str]:
    """Files that have no final name."""
    return sorted(path.name for path in folder.iterdir() if path.name not in NAMES)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def after(job: Job, before: dict[str, bytes]) -> list[str]:
    """What is wrong after a conversion that was stopped, and after the next one to its place."""
    folder = Path(job.folder)
    faults = faults_of(folder, before)
    replace(job, force=True, step=0).run()
    faults += [f"after the next one: {fault}" for fault in faults_of(folder, {})]
    return faults + [f"{name} is left" for name in strangers(folder)]


# Killed.


def _serve() -> None:
    """In a process of its own: warm up where moments count, then the job, from a line on stdin."""
    job = Job(**json.loads(sys.stdin.readline()))
    if not job.step:
        with tempfile.TemporaryDirectory() as other:
            replace(job, folder=other).run()
    n_steps = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal n_steps
        if event in STEPS and (event == "fcntl.flock" or job.folder in str(args)):
            n_steps += 1
            if n_steps == job.step:
                os.kill(os.getpid(), signal.SIGKILL)

    if job.step:
        sys.addaudithook(count)
    print("ready", flush=True)
    sys.stdin.readline()
    job.run()
    print("done", flush=True)


def killed(job: Job, after_s: float | None) -> bool:
    """Run a job in a process that is killed after so long, or at its step; whether it was."""
    command = [sys.executable, "-m", "tests.mutants.interrupted", "--serve"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(asdict(job)) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    if after_s is not None:
        time.sleep(after_s)
        process.kill()
    out, _ = process.communicate(timeout=PATIENCE)
    return "done" not in out


# A full disk.


@contextmanager
def short_files(nbytes: int) -> Iterator[None]:
    """No file of this process grows beyond that, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, nbytes: int) -> Iterator[bool]:
    """A disk of that size on the folder; False where this user may not mount one."""
    size = f"size={nbytes}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], capture_output=True
    ).returncode  # fmt: skip
    try:
        yield not mounted
    finally:
        if not mounted:
            subprocess.run(["umount", str(folder)], check=True)


def filled_meanwhile(job: Job, moment: float) -> bool:
    """Run a job while something else takes the rest of its disk; whether it failed for that."""
    from halfbyte import ConversionError

    filler = Path(job.folder) / "filler"
    timer = threading.Timer(moment, _fill, [filler])
    timer.start()
    try:
        job.run()
    except ConversionError as error:
        if "No space left" not in str(error) and "free space" not in str(error):
            raise
        return True
    finally:
        timer.join()
        filler.unlink(missing_ok=True)
    return False


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def cut_short(job: Job, nbytes: int) -> bool:
    """Run a job whose files may not grow beyond that; whether it failed for that."""
    from halfbyte import ConversionError

    try:
        with short_files(nbytes):
            job.run()
    except ConversionError as error:
        if "File too large" not in str(error):
            raise
        return True
    return False


# A rival.


def rivals(first: Job, second: Job, delay_s: float) -> list[str]:
    """Run two jobs to one place; what is wrong, errors that may not be included."""
    from halfbyte import ConversionError

    errors: list[BaseException] = []

    def work(job: Job, wait_s: float) -> None:
        time.sleep(wait_s)
        try:
            job.run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=one) for one in ((first, 0.0), (second, delay_s))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faults = [f"{type(e).__name__}: {e}" for e in errors if not isinstance(e, ConversionError)]
    faults += [str(e) for e in errors if "an existing one" not in str(e)]
    n_expected = 0 if first.force else 1
    if len(errors) != n_expected:
        faults.append(f"{len(errors)} of two failed")
    folder = Path(first.folder)
    return faults + faults_of(folder, {}) + [f"{name} is left" for name in strangers(folder)]


# All of it.


class _Run:
    """A run with its source, its random choices and the faults so far."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.random = place, Random(seed)
        self.source = str(make_source(place / "source"))
        self.faults: list[str] = []

    def job(self, number: int, *, fresh: bool | None = None, **more: Any) -> Job:
        """A job in a folder of its own, in which half the time a conversion has been before."""
        folder = self.place / "out"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        job = Job(self.source, str(folder), kind=KINDS[number % 3], **more)
        if not (number % 2 if fresh is None else fresh):
            replace(job, type="q4_0", step=0).run()
        return job

    def note(self, what: str, faults: list[str]) -> None:
        """Print and keep faults."""
        for fault in faults:
            print(f"{what}: {fault}", flush=True)
        self.faults += faults

    def kills(self, n: int) -> None:
        """At random moments."""
        seconds = {}
        for kind in KINDS:
            job = replace(self.job(0), kind=kind)
            job.run()
            begin = time.perf_counter()
            job.run()
            seconds[kind] = time.perf_counter() - begin
        done = 0
        for i in range(n):
            job = self.job(i)
            before = _contents(Path(job.folder))
            moment = self.random.uniform(0, 1.2 * seconds[job.kind])
            done += killed(job, moment)
            self.note(f"killed after {moment:.3f} s ({job.kind})", after(job, before))
        print(f"{done} of {n} conversions killed before their end")

    def steps(self, n: int) -> None:
        """At each of the first steps of every kind that touches a file."""
        done = 0
        for i in range(n):
            job = self.job(i, fresh=i % 6 < 3, step=1 + i // 3)
            before = _contents(Path(job.folder))
            done += killed(job, None)
            self.note(f"killed at step {job.step} ({job.kind})", after(job, before))
        print(f"{done} of {n} conversions killed at a step")

    def full(self, n: int) -> None:
        """Limits of size everywhere, and a full disk where one can be mounted."""
        job = replace(self.job(0), kind="plain")
        job.run()
        size = (Path(job.folder) / NAMES[0]).stat().st_size
        done = n_full = 0
        for i in range(n):
            job = self.job(i)
            before = _contents(Path(job.folder))
            nbytes = self.random.randrange(size)
            done += cut_short(job, nbytes)
            self.note(f"files of at most {nbytes} bytes ({job.kind})", after(job, before))
        print(f"{done} of {n} conversions failed for the size of their file")
        disk = self.place / "disk"
        disk.mkdir(exist_ok=True)
        for i in range(n):
            with small_disk(disk, int(2.5 * size) + (1 << 18)) as is_small:
                if not is_small:
                    print("no disk can be mounted")
                    return
                job = replace(self.job(i), folder=str(disk))
                if not i % 2:
                    replace(job, type="q4_0").run()
                before = _contents(disk)
                n_full += filled_meanwhile(job, self.random.uniform(0, 0.2))
                self.note(f"a full disk ({job.kind})", after(job, before))
        print(f"{n_full} of {n} conversions failed for a full disk")

    def rivals(self, n: int) -> None:
        """Two at once, of different types, with and without force."""
        for i in range(n):
            force = bool(i % 2)
            job = self.job(0 if not force else i, fresh=True, force=force)
            other = replace(job, type="q4_0")
            self.note(f"two at once ({job.kind}, force={force})",
                      rivals(job, other, self.random.uniform(0, 0.05)))  # fmt: skip
        print(f"{n} pairs of conversions")


def main() -> int:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--full", type=int, default=30)
    parser.add_argument("--rivals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable()
    if args.serve:
        _serve()
        return 0
    with tempfile.TemporaryDirectory() as place:
        run = _Run(Path(place), args.seed)
        run.kills(args.kills)
        run.steps(args.steps)
        run.full(args.full)
        run.rivals(args.rivals)
    print(f"{len(run.faults)} faults")
    return bool(run.faults)


if __name__ == "__main__":
    sys.exit(main())
