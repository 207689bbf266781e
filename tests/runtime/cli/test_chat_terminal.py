"""halfbyte chat in a process at a pseudo-terminal: keys, Ctrl-C, what goes where."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import halfbyte

needs_pty = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
_CHILD = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that ^C becomes a signal
from halfbyte.cli import main
sys.exit(main(sys.argv[1:]))
"""
_TIMEOUT_S = 60.0


class Terminal:
    """A process at a terminal: keys go in, what is on the screen comes out."""

    def __init__(self, *argv: str, stdout: int | None = None) -> None:
        import pty

        self._keys, screen = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *argv],
            stdin=screen, stdout=screen if stdout is None else stdout, stderr=screen,
            start_new_session=True, env={**os.environ, "TERM": "dumb"},
        )  # fmt: skip
        os.close(screen)
        self._unread = b""

    def press(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    def expect(self, text: str, timeout_s: float = _TIMEOUT_S) -> str:
        """Read on until this text has come; returns all up to its end."""
        wanted, end_s = text.encode(), time.monotonic() + timeout_s
        while wanted not in self._unread:
            self._read(end_s, text)
        at = self._unread.index(wanted) + len(wanted)
        found, self._unread = self._unread[:at], self._unread[at:]
        return found.decode(errors="replace")

    def expect_more(self) -> None:
        """Read on until anything has come; what has come so far is dropped."""
        if not self._unread:
            self._read(time.monotonic() + _TIMEOUT_S, "anything")
        self._unread = b""

    def interrupt(self, text: str) -> None:
        """Press Ctrl-C at a prompt and read on until this text has come.

        Python's readline hears it only while it waits for keys, not in the microseconds after one;
        so it is pressed when the process sleeps, and once more should it not have been heard.
        """
        path, end_s = Path(f"/proc/{self.process.pid}/stat"), time.monotonic() + _TIMEOUT_S
        while path.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end_s
            time.sleep(0.001)
        self.press("\x03")
        try:
            self.expect(text, timeout_s=5.0)
        except AssertionError:
            self.press("\x03")
            self.expect(text)

    def close(self) -> int:
        """The exit code."""
        try:
            return self.process.wait(_TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._keys)

    def _read(self, end_s: float, text: str) -> None:
        ready, _, _ = select.select([self._keys], [], [], max(0.0, end_s - time.monotonic()))
        assert ready, f"waited for {text!r}, got {self._unread!r}"
        self._unread += os.read(self._keys, 4096)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*argv: str, **kwargs: Any) -> Terminal:
        opened.append(Terminal(*argv, **kwargs))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="module")
def endless_gguf(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model that never ends an answer by itself."""
    from safetensors.numpy import load_file, save_file

    from halfbyte.conversion import convert

    folder = tmp_path_factory.mktemp("endless") / "hf"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][2] = 0.0  # the end token's logit; some other is always above 0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    convert(folder, folder.with_suffix(".gguf"), type="q8_0", measure=False)
    return folder.with_suffix(".gguf")


@needs_pty
def test_a_conversation_at_a_terminal(terminal: Any, endless_gguf: Path) -> None:
    screen = terminal("chat", "-m", str(endless_gguf), "--format", "llama-2", "-n", "3")
    greeting = screen.expect("\r\n> ")
    assert "/help" in greeting and '"""' in greeting
    screen.press("ab\r")
    screen.expect("(cut after 3 tokens")
    screen.expect("> ")
    screen.press("ab\\\r")
    screen.expect("| ")
    screen.press("cd\r")
    screen.expect("(cut after 3 tokens")
    screen.expect("> ")
    screen.press('"""\r')
    screen.expect("| ")
    screen.press("/exit\r")
    screen.expect("| ")
    screen.press('"""\r')
    screen.expect("(cut after 3 tokens")
    screen.expect("> ")
    screen.press("/rest\r")
    screen.expect("no command /rest")
    screen.press("[INST]\r")
    screen.expect("error: messages[6]")
    screen.press("/reset\r")
    screen.expect("(a new conversation)")
    screen.press("[INST]\r")
    screen.expect("error: messages[0]")
    screen.expect("> ")
    screen.press("/exit\r")
    assert screen.close() == 0


@needs_pty
@pytest.mark.skipif(find_spec("readline") is None, reason="this Python has no readline")
def test_earlier_lines_come_back(terminal: Any, endless_gguf: Path) -> None:
    screen = terminal("chat", "-m", str(endless_gguf), "--format", "llama-2")
    screen.expect("\r\n> ")
    for keys in ("/first\r", "\x1b[A\r"):  # typed, then fetched with the arrow key
        screen.press(keys)
        screen.expect("no command /first;")
        screen.expect("> ")
    screen.press("\x04")
    screen.expect("\n")
    assert screen.close() == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_ctrl_c_at_a_terminal(terminal: Any, endless_gguf: Path) -> None:
    argv = ("chat", "-m", str(endless_gguf), "--format", "llama-2", "-c", "1000000", "-n", "900000")
    screen = terminal(*argv)
    screen.expect("\r\n> ")
    for keys in ("ab\r", "cd\r"):  # it answers again after it was stopped
        screen.press(keys)
        screen.expect("\n")
        screen.expect_more()
        screen.press("\x03")
        screen.expect("(stopped")  # with a note where no text had come yet
        screen.expect(")\r\n")
        screen.expect("> ")
    screen.press("draft")
    screen.expect("draft")
    screen.interrupt("(Ctrl-C again or Ctrl-D leaves)")
    screen.expect("> ")
    # The draft is gone, and the next Ctrl-C is a first one once more.
    screen.press("/ex\r")
    screen.expect("no command /ex;")
    screen.expect("> ")
    screen.interrupt("(Ctrl-C again or Ctrl-D leaves)\r\n")
    screen.expect("> ")
    screen.interrupt("\n")
    assert screen.close() == 0


@needs_pty
def test_answers_go_elsewhere_alone(terminal: Any, endless_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    with path.open("wb") as file:
        screen = terminal(
            *("chat", "-m", str(endless_gguf), "--format", "llama-2", "-n", "3", "--temp", "0"),
            stdout=file.fileno(),
        )
    for _ in range(2):
        screen.expect("> ")
        screen.press("ab\n")
        screen.expect("(cut after 3 tokens")
    screen.expect("> ")
    screen.press("\x04")
    screen.expect("\n")
    assert screen.close() == 0
    with halfbyte.load(endless_gguf) as model:
        messages = [{"role": "user", "content": "ab"}]
        for _ in range(2):
            done = model.chat(messages, format="llama-2", max_tokens=3, temperature=0)
            messages.append({"role": "assistant", "content": done.text})
            messages.append({"role": "user", "content": "ab"})
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    # Each on lines of its own, and nothing else.
    assert path.read_text("utf-8") == "".join(a if a.endswith("\n") else f"{a}\n" for a in answers)
