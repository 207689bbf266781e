"""A server program that runs while it is measured."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_S, _LOOK_S = 300.0, 0.005
_TICKS_A_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class ServerProcess:
    """A program that listens on `port`; a context manager that ends it.

    Args:
        command: what to run; `{port}` in a word stands for the port.
    """

    def __init__(self, command: Sequence[object]) -> None:
        self.port = free_port()
        words = [str(word).format(port=self.port) for word in command]
        self.name = Path(words[0]).name
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(words, stdout=quiet, stderr=quiet)
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def main_thread_s(self) -> float:
        """Seconds of CPU that the first thread took so far, which is where an event loop runs."""
        path = f"/proc/{self.pid}/task/{self.pid}/stat"
        fields = Path(path).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_S

    def cpu_s(self) -> float:
        """Seconds of CPU that all threads took so far."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self._process.returncode}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                pass
            time.sleep(_LOOK_S)
        raise SystemExit(f"{self.name} is not ready")


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
