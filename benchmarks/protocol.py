"""How a benchmark talks to a process that holds a loaded model: one line each way.

A worker loads its model once, writes one JSON line about itself, then answers each line of words
on stdin ("decode 128 0") with one JSON line. Loading is thereby outside every measured time, and
two engines on one file can be asked in turns. Only the standard library is used: each worker runs
in an environment of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

Handler = Callable[..., dict[str, Any]]


def serve(info: dict[str, Any], handlers: Mapping[str, Handler], out_fd: int) -> None:
    """Announce `info`, then answer stdin's lines until it ends. The first word names a handler."""
    with os.fdopen(out_fd, "w", buffering=1) as out:
        print(json.dumps(info), file=out)
        for line in sys.stdin:
            command, *words = line.split()
            print(json.dumps(handlers[command](*words)), file=out)


def take_stdout() -> int:
    """A descriptor for the answers; whatever a library prints to stdout goes to stderr instead."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


class WorkerError(Exception):
    """A worker ended instead of answering; its own words are on stderr."""


class Worker:
    """A running worker: `info` is what it said of itself, `ask` puts a command to it."""

    def __init__(
        self,
        python: str | Path,
        script: Path,
        *args: object,
        env: Mapping[str, str] | None = None,
    ) -> None:
        command = [str(python), str(script), *map(str, args)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(env or {}),
        )
        self.name, self.pid = script.stem, self._process.pid
        self.info = self._answer("start", None)

    def ask(self, *words: object, timeout_s: float | None = None) -> dict[str, Any]:
        """The answer to one command. Words must not contain white space.

        Raises:
            WorkerError: the worker has ended.
            TimeoutError: there was no answer in time; the worker has been killed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._answer(str(words[0]), timeout_s)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker and wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended before
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _answer(self, command: str, timeout_s: float | None) -> dict[str, Any]:
        assert self._process.stdout is not None
        # An answer is one line and nothing was read ahead: no answer, nothing to read.
        if (
            timeout_s is not None
            and not select.select([self._process.stdout], [], [], timeout_s)[0]
        ):
            self._process.kill()
            raise TimeoutError(f"{self.name}: no answer to {command!r} within {timeout_s:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} ended at {command!r} with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
