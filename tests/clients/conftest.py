"""`halfbyte serve` in a process of its own, and programs that ask it: `make test-clients`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from tests.clients.reciting import ANSWER, reciting_model
from tests.mutants.running_server import RunningServer
from tests.runtime.server.chat_models import CALLS, with_template

FILLED = "hello.py\n```\nprint('hello')\n```\n"
# What each agent's own tool for commands is called, and how it is asked.
SAY = "echo hello > said"
TOOLS: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "claude": ("Bash", {"command": SAY, "description": "Says hello"}, ANSWER),
    "codex": ("exec_command", {"cmd": SAY}, ANSWER),
    "opencode": ("bash", {"command": SAY}, ANSWER),
    "cn": ("Bash", {"command": SAY}, ANSWER),
    "counts": ("count", {"n": 3, "of": "stars"}, ANSWER),
    "aider": ("none", {}, FILLED),
}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models by name: `calls` is the packaged one with a template, the others recite."""
    folder = tmp_path_factory.mktemp("models")
    made = {"calls": with_template(folder / "calls.gguf", CALLS)}
    for name, (tool, arguments, answer) in TOOLS.items():
        made[name] = reciting_model(folder / f"{name}.gguf", tool, arguments, answer)
    return made


@pytest.fixture(scope="session")
def server(files: Mapping[str, Path]) -> Iterator[RunningServer]:
    """All of them served, `infill-10m` too."""
    named = [f"{name}={path}" for name, path in files.items()]
    with RunningServer("infill-10m", *named, options=("-t", "2")) as made:
        yield made


@pytest.fixture(scope="session")
def url(server: RunningServer) -> str:
    """Where it is."""
    return server.url


@pytest.fixture(scope="session")
def calls(files: Mapping[str, Path]) -> Iterator[halfbyte.Model]:
    """The model that chats, for what is right."""
    with halfbyte.load(files["calls"], threads=2) as model:
        yield model


@pytest.fixture(scope="session")
def infills() -> Iterator[halfbyte.Model]:
    """The packaged model, for what is right."""
    with halfbyte.load("infill-10m", threads=2) as model:
        yield model


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a program of the folders that CLIENTS names, at home in an empty folder.

    It gives what that said; the test is skipped where the program is not installed.
    """

    def run(program: str, *argv: str, **environment: str) -> str:
        folders = os.environ.get("CLIENTS", "").split(":")
        found = next((path for folder in folders if folder
                      if (path := Path(folder, program)).exists()), None)  # fmt: skip
        if found is None:
            pytest.skip(f"no {program}: `make test-clients` installs it")
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        done = subprocess.run(
            [str(found), *argv], cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=300,
            env={**known, "HOME": str(tmp_path), **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
