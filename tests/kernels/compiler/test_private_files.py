"""Files and folders that nobody else can write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import private_files
from halfbyte.kernels.compiler.private_files import NotPrivateError, open_private

OTHER_USER = 12345
pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")


def give_away(path: Path) -> None:
    """Make a file or folder another user's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, OTHER_USER, OTHER_USER)


def test_an_own_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    path.chmod(0o644)
    with open_private(path) as file:
        assert file.read() == b"contents"
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "another")


def test_what_others_own_or_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o620)
    with pytest.raises(NotPrivateError, match="mode 620"):
        open_private(path)
    path.chmod(0o600)
    give_away(path)
    with pytest.raises(NotPrivateError, match=f"owned by user {OTHER_USER}"):
        open_private(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NotPrivateError, match="pipe"):
        open_private(tmp_path / "pipe")
    with pytest.raises(NotPrivateError, match="folder"):
        open_private(tmp_path)
    (tmp_path / "link").symlink_to(__file__)
    with pytest.raises(OSError):
        open_private(tmp_path / "link")


@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_a_folder_below_one_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(mode)
    with pytest.raises(PermissionError, match=r"above, above it"):
        private_files.private_folder(above / "between" / "kernels")
    above.chmod(mode | 0o1000)  # sticky, as /tmp: nobody can replace what is another's
    assert private_files.private_folder(above / "between" / "kernels").is_dir()


def test_a_folder_below_another_users_is_refused(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    give_away(above)
    with pytest.raises(PermissionError, match=r"above, above it"):
        private_files.private_folder(above / "kernels")


def test_a_link_to_an_unsafe_place_is_refused(tmp_path: Path) -> None:
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    (tmp_path / "link").symlink_to(unsafe)
    with pytest.raises(PermissionError, match="unsafe"):
        private_files.private_folder(tmp_path / "link" / "kernels")


@pytest.mark.parametrize("is_own", [True, False])
def test_a_group_may_write_above_where_it_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    monkeypatch.setattr(private_files, "_is_own_group", lambda gid: is_own)
    (tmp_path / "above").mkdir()
    (tmp_path / "above").chmod(0o775)
    if is_own:
        assert private_files.private_folder(tmp_path / "above" / "kernels").is_dir()
    else:
        with pytest.raises(PermissionError):
            private_files.private_folder(tmp_path / "above" / "kernels")
