"""Files of compiled code: whose they are, who could have written them, and what is removed when."""

from __future__ import annotations

import logging
import os
import pickle
import time
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import code_files, private_files
from halfbyte.kernels.compiler.code_files import Code, CodeFileError

CODE = Code("a_kernel", "entry", b"machine code")
OTHER_USER = 12345
pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a kernel's code."""
    path = private_files.private_folder(tmp_path / "kernels" / f"avx2-{0:016x}")
    code_files.write(path, CODE)
    return path


def _give_away(path: Path) -> None:
    """Make a file or folder another user's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, OTHER_USER, OTHER_USER)


def test_what_is_written_is_read(folder: Path) -> None:
    assert code_files.read(folder, "a_kernel") == CODE
    assert code_files.read(folder, "another") is None
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_read(folder: Path, mode: int) -> None:
    (path,) = folder.iterdir()
    path.chmod(mode)
    with pytest.raises(CodeFileError, match=f"mode {mode:o}"):
        code_files.read(folder, "a_kernel")


def test_a_file_of_another_user_is_not_read(folder: Path) -> None:
    (path,) = folder.iterdir()
    _give_away(path)
    with pytest.raises(CodeFileError, match=f"owned by user {OTHER_USER}"):
        code_files.read(folder, "a_kernel")


def test_links_and_pipes_are_not_read(folder: Path, tmp_path: Path) -> None:
    (path,) = folder.iterdir()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        code_files.read(folder, "a_kernel")
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(CodeFileError, match="not a file"):
        code_files.read(folder, "a_kernel")


class _Runs:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


def test_nothing_in_a_file_is_unpickled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = folder.iterdir()
    for raw in (pickle.dumps(_Runs()), path.read_bytes().replace(b"machine", b"dam age")):
        path.write_bytes(raw)
        with pytest.raises(CodeFileError, match="damaged"):
            code_files.read(folder, "a_kernel")
    assert not Path("ran").exists()


def test_versions_that_are_no_longer_used_are_removed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder.parent
    old, recent, foreign = (root / n for n in (f"amx-{1:016x}", f"avx2-{2:016x}", "photographs"))
    for path in (old, recent, foreign):
        path.mkdir()
        (path / "file").write_bytes(b"12345")
    for path, days in ((old, 31), (recent, 29), (foreign, 99), (folder, 99)):
        then = time.time() - days * 24 * 3600
        os.utime(path, (then, then))
    with caplog.at_level(logging.INFO, logger="halfbyte"):
        assert code_files.remove_old(root, folder) == 5
    assert [p for p in (old, recent, foreign, folder) if p.exists()] == [recent, foreign, folder]
    assert str(old) in caplog.text
    assert code_files.read(folder, "a_kernel") == CODE
    assert folder.stat().st_mtime > time.time() - 3600, "its use was not noted"


def test_all_versions_are_removed_on_demand(folder: Path) -> None:
    (folder.parent / "photographs").mkdir()
    (path,) = folder.iterdir()
    nbytes = path.stat().st_size
    assert code_files.remove_all(folder.parent) == nbytes
    assert [p.name for p in folder.parent.iterdir()] == ["photographs"]
    assert code_files.remove_all(folder.parent / "missing") == 0
