"""`halfbyte serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO

_READY = re.compile(rb"^ready: (http://\S+)")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class RunningServer:
    """A context manager; it has to end in order.

    Attributes:
        url: where it listens.
        log: the last lines that it said.
    """

    def __init__(self, *models: str, options: tuple[str, ...] = ()) -> None:
        command = [str(Path(sys.executable).with_name("halfbyte")), "serve", "--port", "0"]
        command += [word for model in models for word in ("-m", model)]
        self._process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        self.log: list[bytes] = []
        self.url = self._wait(self._process.stderr)
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), daemon=True
        )
        self._reader.start()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._reader.join()
        if code and kind is None:
            raise SystemExit(f"the server ended with {code}: {b''.join(self.log[-20:]).decode()}")

    @property
    def nbytes(self) -> int:
        """Memory that it holds now."""
        resident = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(resident) * _PAGE

    @property
    def n_files(self) -> int:
        """Files and sockets that it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def _wait(self, lines: IO[bytes]) -> str:
        for line in lines:
            self.log.append(line)
            if found := _READY.match(line):
                return found[1].decode()
        raise SystemExit(f"the server did not start: {b''.join(self.log).decode()}")

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self.log = [*self.log[-200:], line]
