"""What is delivered: the sdist's contents, its metadata, and what stands above a clone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def above(tmp_path: Path) -> Path:
    """A folder with something like a clone in it."""
    clone = tmp_path / "halfbyte"
    clone.mkdir()
    (clone / "__init__.py").write_bytes((ROOT / "__init__.py").read_bytes())
    return tmp_path


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)


def test_above_a_clone_the_installed_package_is_found(above: Path) -> None:
    code = "import halfbyte, halfbyte.cli; print(halfbyte.load.__module__, halfbyte.__file__)"
    module, path = _python(above, "-c", code).stdout.split()
    assert module == "halfbyte.loading" and Path(path).parent != above / "halfbyte"
    assert _python(above, "-m", "halfbyte", "--version").stdout.startswith("halfbyte ")


def test_above_a_clone_that_is_not_installed_a_sentence_says_so(above: Path) -> None:
    done = _python(above, "-I", "-S", "-c", "import sys; sys.path.insert(0, ''); import halfbyte")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(
        f"ImportError: {above / 'halfbyte'} is a clone of halfbyte, which is not"
    )
    assert "pip install" in last


def test_an_old_python_gets_a_sentence(above: Path) -> None:
    code = "import sys; sys.version_info = (3, 8); import halfbyte"
    last = _python(above, "-c", code).stderr.splitlines()[-1]
    assert last.startswith("ImportError: halfbyte needs Python 3.10 or later; this is ")


def test_make_says_so_too(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "import sys\n'
        'sys.version_info = (3, 9)\n$2"\nexit 3\n'
    )
    old.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "pyproject.toml").touch()
    done = subprocess.run(
        ["make", f"PYTHON={old}", "demo"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0 and not (tmp_path / ".venv").exists()
    assert "halfbyte needs Python 3.10 or later" in done.stderr.splitlines()[0]


def test_the_sdist_holds_every_file_that_git_has() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:  # in an unpacked sdist: then the tests that run are the proof
        return
    folders = set(re.findall(r"^graft (.*)$", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE))
    folders |= {"runtime", "kernels", "convert"}
    single = set(re.findall(r"^include (.*)$", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE))
    named = {name for line in single for name in line.split()}
    named |= {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml"}  # which are always in
    lost = [
        name
        for name in tracked.stdout.split()
        if name.partition("/")[0] not in folders and name not in named
    ]
    assert lost == []


def test_the_readmes_pictures_say_what_they_show() -> None:
    """An index page shows README alone, where a picture of the repository is its text."""
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)
    assert "<img" not in text and text.count("![") == len(pictures)
    assert all(len(says) > 20 and (ROOT / path).is_file() for says, path in pictures)
