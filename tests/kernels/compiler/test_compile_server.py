"""Kernels that other processes compile: what they make, and what is done where they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import compile_processes, compile_server, jit, target
from halfbyte.kernels.pool import serve
from halfbyte.kernels.sampling.masks import _forbid

RunPython = Callable[..., str]
MAKERS = [
    ("halfbyte.kernels.pool", "serve", None),
    ("halfbyte.kernels.sampling.masks", "_forbid", None),
]


def words(folder: Path, key: str = "") -> tuple[str, str, str]:
    """For what, and where to, another process compiles."""
    return target.current().name, str(folder), key or jit.cache_key()


def test_another_process_compiles_what_it_is_told(tmp_path: Path) -> None:
    folder = jit.set_cache_root(tmp_path / "cache")
    assert [serve.maker, _forbid.maker] == MAKERS
    done = list(compile_processes.compiled([*MAKERS], words(folder), 1))
    assert done == MAKERS
    assert {p.stem for p in folder.iterdir()} == {serve.name, _forbid.name}


def test_sources_that_were_replaced_meanwhile_are_not_compiled(tmp_path: Path) -> None:
    asked = words(tmp_path, "avx2-0123456789abcdef")
    assert list(compile_processes.compiled([*MAKERS], asked, 1)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compile_processes, "_MAIN", "import time; time.sleep(600)")
    monkeypatch.setattr(compile_processes, "_SILENT_S", 0.2)
    assert list(compile_processes.compiled([*MAKERS], words(tmp_path), 2)) == []
    assert "silent" in caplog.text


def test_memory_bounds_how_many_processes_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jit.set_cache_root(tmp_path / "cache")
    monkeypatch.setattr(jit, "_KERNELS_PER_PROCESS", 1)
    monkeypatch.setattr(jit, "n_cpus", lambda: 2)
    asked: list[int] = []
    monkeypatch.setattr(compile_processes, "compiled", lambda *args: asked.append(args[2]) or [])
    for most in (8, 1):
        made = [jit.Kernel(item._function, item.name, item.maker) for item in (serve, _forbid)]
        monkeypatch.setattr(jit.Kernel, "compile", lambda self: True)
        jit.compile_all(made, lambda done, total: None, most)
    assert asked == [2]


def test_what_another_process_cannot_do_is_left_out(tmp_path: Path) -> None:
    assert list(compile_processes.compiled([("nowhere", "x", None)], words(tmp_path), 2)) == []


@pytest.mark.parametrize("command", ["", "/nowhere/python"])
def test_without_other_processes_kernels_are_compiled_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "executable", command)
    jit.set_cache_root(tmp_path / "cache")
    made = [jit.Kernel(item._function, item.name, item.maker) for item in (serve, _forbid)]
    monkeypatch.setattr(jit, "_KERNELS_PER_PROCESS", 1)
    assert jit.compile_all(made, lambda done, total: None) == 2
    assert all(item.is_ready for item in made)


def test_files_where_the_user_is_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python looks there first for what "-c" imports; and paths that are no texts are no paths."""
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    path: list[str | Path] = [*sys.path, tmp_path]
    monkeypatch.setattr(sys, "path", path)
    assert list(compile_processes.compiled([("nowhere", "x", None)], words(tmp_path), 1)) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", None)])
def test_a_program_without_an_interpreter_is_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    def start(*args: object, **kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr(sys, name, value, raising=False)
    monkeypatch.setattr(subprocess, "Popen", start)
    assert list(compile_processes.compiled([*MAKERS], words(tmp_path), 2)) == []


def test_other_processes_are_told_for_what_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may allow them more than this one, or less."""
    asked: list[object] = []
    monkeypatch.setattr(compile_processes, "compiled", lambda *args: asked.append(args[1][0]) or [])
    assert list(jit._compiled_elsewhere([serve], 1)) == []
    assert asked == [target.current().name]


def test_a_process_ends_with_its_input() -> None:
    command = [sys.executable, "-c", f"from {compile_server.__name__} import serve; serve()"]
    ended = subprocess.run(command, input='["generic", ".", ""]\n', capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_a_process_whose_asker_was_ended_says_nothing(tmp_path: Path) -> None:
    folder = jit.set_cache_root(tmp_path / "cache")
    command = [sys.executable, "-c", f"from {compile_server.__name__} import serve; serve()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        asked = "".join(json.dumps(item) + "\n" for item in (words(folder), MAKERS[1]))
        _, said = process.communicate(asked)
    assert (process.returncode, said) == (0, "")
    assert {p.stem for p in folder.iterdir()} == {_forbid.name}
