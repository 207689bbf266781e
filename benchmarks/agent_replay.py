"""An agent's conversation over restarts, and what remembered prompts cost on disk.

    python benchmarks/agent_replay.py [MODEL] [--folder DIR]

turns   ten turns over one conversation that grows from 3,500 to 6,000 tokens, with a short side
        request between turns; before every third turn the model is closed and loaded again, with
        the folder that it keeps prompts in, which the system has forgotten by then. Each turn's
        first token is set beside the time of its new tokens alone; after a restart, less the time
        that plain reading of the same files takes. A turn's prompt ends with a few tokens that the
        next one does not have, as chats do that leave out what was thought.
same    whether an answer to the last turn has the tokens, and the probabilities bit for bit, that
        it has where nothing is remembered.
disk    `save_cache` beside copying the file that it wrote, both until the disk has it, and
        `load_cache` beside plain reading, neither of which finds the file in memory; in turns.

A line is appended to benchmarks/results/agent.jsonl. DIR lies on the disk to be measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import results
from suite import model_path

import halfbyte
from halfbyte import settings
from halfbyte.cli.speed import prefill_s, random_tokens

THREADS, CACHE_NBYTES = 2, 2 << 30
N_TURNS, N_BEGIN, N_TURN, N_SIDE = 10, 3500, 250, 60
RESTART_EVERY = 3
N_ASKING = 4  # tokens that ask for an answer
TARGET = 1.3  # of the time of the new tokens alone
_CHUNK = 1 << 22


class Agent:
    """A model that is loaded again now and then, and the conversation with it."""

    def __init__(self, path: Path, folder: Path, n_begin: int = N_BEGIN, n_turn: int = N_TURN):
        self._path, self._folder, self._n_turn = path, folder, n_turn
        self.model = self._load()
        self._n_sides = 0
        tokens = random_tokens(self.model.engine, n_begin + N_TURNS * n_turn)
        self._tokens, self._n = [3, *tokens[1:]], n_begin
        ends = self.model.tokenizer.eog_ids
        self._tokens = [4 if token in ends else token for token in self._tokens]
        for n in range(n_begin, len(tokens) + 1, n_turn):
            self._tokens[n - 1] = min(ends)
        self.first_token_s(self._prompt(n_begin))
        self._begin_alone()

    def _prompt(self, n: int) -> list[int]:
        """The first n tokens, and what asks for an answer to them, each time something else."""
        return [*self._tokens[:n], *range(10 + n % 89, 10 + n % 89 + N_ASKING)]

    def is_same(self) -> bool:
        """Whether the answer to the conversation is what comes where nothing is remembered."""
        told = [
            self.model.complete(
                self._prompt(self._n), max_tokens=8, stop_tokens=[], logprobs=3, cache_scope=scope
            )
            for scope in (None, "nobody")
        ]
        known, fresh = ((done.tokens, done.logprobs) for done in told)
        return known == fresh

    def turns(self, n: int = N_TURNS) -> list[dict[str, Any]]:
        """Seconds of n turns."""
        return [self._turn(is_restarted=i % RESTART_EVERY == 2) for i in range(n)]

    def first_token_s(self, prompt: Sequence[int]) -> tuple[float, int]:
        """Seconds to the first token of an answer, and how many tokens were known."""
        begin = time.perf_counter()
        done = self.model.complete(prompt, max_tokens=1, stop_tokens=[])
        return time.perf_counter() - begin, done.stats.n_reused

    def close(self) -> None:
        """Close the model."""
        self.model.close()

    def _turn(self, *, is_restarted: bool) -> dict[str, Any]:
        self._n_sides += 1
        side = random_tokens(self.model.engine, N_SIDE)
        self.first_token_s([3 + self._n_sides, *side[1:]])
        facts: dict[str, Any] = {"is_restarted": is_restarted, "disk_s": 0.0}
        if is_restarted:
            facts |= self._restart()
        n_known, self._n = self._n, self._n + self._n_turn
        facts["n_known"] = n_known
        facts["first_s"], facts["n_reused"] = self.first_token_s(self._prompt(self._n))
        facts["alone_s"] = self._alone_s(n_known)
        facts["ratio"] = (facts["first_s"] - facts["disk_s"]) / facts["alone_s"]
        return facts

    def _restart(self) -> dict[str, Any]:
        close_s = seconds(self.model.close)
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        forget(files)
        disk_s = seconds(lambda: read(files))
        forget(files)
        self.model = self._load()
        self._begin_alone()
        nbytes = sum(path.stat().st_size for path in files)
        return {"close_s": close_s, "disk_s": disk_s, "disk_nbytes": nbytes}

    def _load(self) -> halfbyte.Model:
        how: dict[str, Any] = {"threads": THREADS, "prompt_cache_bytes": CACHE_NBYTES}
        return halfbyte.load(self._path, prompt_cache_dir=self._folder, **how)

    def _begin_alone(self) -> None:
        """A sequence of the engine's own, with what is known of the conversation."""
        self._sequence = self.model.engine.new_sequence()
        self._alone_s(0)

    def _alone_s(self, n_known: int) -> float:
        """Seconds of the tokens behind those that are known, without any caller or cache."""
        new, engine = self._tokens[n_known : self._n], self.model.engine
        return self.model.scheduler.between_steps(lambda: prefill_s(engine, new, self._sequence))


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def read(files: Iterable[Path]) -> None:
    """Read files plainly."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass


def forget(files: Iterable[Path]) -> None:
    """Have the system write files and forget what it holds of them, where it can be told."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy(source: Path, target: Path) -> None:
    """Write what a file holds to another one, until the disk has it."""
    with source.open("rb") as data, target.open("wb") as out:
        shutil.copyfileobj(data, out, _CHUNK)
        out.flush()
        os.fsync(out.fileno())


def disk(path: Path, folder: Path, n_tokens: int, rounds: int) -> dict[str, Any]:
    """Bytes a second of `save_cache` and `load_cache`, and of plain files of the same bytes."""
    saved, plain = folder / "saved", folder / "plain"
    found: dict[str, list[float]] = {"save": [], "copy": [], "load": [], "read": []}
    with halfbyte.load(path, threads=THREADS, prompt_cache_bytes=CACHE_NBYTES) as model:
        model.complete(random_tokens(model.engine, n_tokens), max_tokens=1, stop_tokens=[])
        nbytes = model.save_cache(saved)
        for _ in range(rounds):
            saved.unlink()
            found["save"].append(seconds(lambda: model.save_cache(saved)))
            plain.unlink(missing_ok=True)
            found["copy"].append(seconds(lambda: copy(saved, plain)))
    for _ in range(rounds):
        with halfbyte.load(path, threads=THREADS, prompt_cache_bytes=CACHE_NBYTES) as model:
            forget([saved, plain])
            found["load"].append(seconds(lambda model=model: model.load_cache(saved)))
            found["read"].append(seconds(lambda: read([plain])))
    saved.unlink()
    plain.unlink()
    mb_s = {key: nbytes / 1e6 / statistics.median(values) for key, values in found.items()}
    ratios = {"save": mb_s["save"] / mb_s["copy"], "load": mb_s["load"] / mb_s["read"]}
    return {"nbytes": nbytes, "mb_s": mb_s, "ratio": ratios, "seconds": found}


def summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the turns come to, plain ones and those after a restart apart."""
    plain = [turn["ratio"] for turn in turns if not turn["is_restarted"]]
    restarted = [turn["ratio"] for turn in turns if turn["is_restarted"]]
    return {
        "ratio": statistics.median(plain), "worst": max(plain),
        "restarted_ratio": statistics.median(restarted), "restarted_worst": max(restarted),
        "restarted_disk_s": statistics.median(t["disk_s"] for t in turns if t["is_restarted"]),
    }  # fmt: skip


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--folder", type=Path, help="default: where the system has its own")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    results.warn_if_busy()
    path = Path(model_path(args.model, args.files))
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = Path(made)
        agent = Agent(path, folder / "prompts")
        turns, is_same = agent.turns(), agent.is_same()
        agent.close()
        facts = {"name": args.model, "target": TARGET, "is_same": is_same} | summary(turns)
        facts["turns"] = turns
        facts["disk"] = disk(path, folder, N_BEGIN, args.rounds)
    for turn in turns:
        print({key: round(value, 3) for key, value in turn.items()})
    print({key: round(value, 3) for key, value in summary(turns).items()})
    print("the same bits as without a cache:", is_same)
    print({key: facts["disk"][key] for key in ("nbytes", "mb_s", "ratio")})
    results.append("agent", path, THREADS, facts)


if __name__ == "__main__":
    main()
