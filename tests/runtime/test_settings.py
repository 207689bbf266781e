"""halfbyte.settings: one place that reads the environment, and says what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from halfbyte import settings
from halfbyte.errors import SettingError


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("16", 16), (" 4 ", 4), ("1024", 1024)])
def test_threads(monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    monkeypatch.setenv("HALFBYTE_THREADS", text)
    assert settings.threads() == count


@pytest.mark.parametrize(
    "text", ["0", "-1", "two", "1.5", "1e3", "1025", "0x4", " ", "٣", "9" * 5000]
)
def test_bad_threads_name_the_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HALFBYTE_THREADS", text)
    with pytest.raises(SettingError) as caught:
        settings.threads()
    assert caught.value.name == "HALFBYTE_THREADS"
    assert "from 1 to 1024" in str(caught.value)


def test_unset_and_empty_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HALFBYTE_THREADS", "HALFBYTE_ISA"):
        monkeypatch.delenv(name, raising=False)
    assert (settings.threads(), settings.isa()) == (None, None)
    for name in ("HALFBYTE_THREADS", "HALFBYTE_ISA"):
        monkeypatch.setenv(name, "")
    assert (settings.threads(), settings.isa()) == (None, None)


def test_isa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFBYTE_ISA", " AVX2 ")
    assert settings.isa() == "avx2"
    monkeypatch.setenv("HALFBYTE_ISA", "avx2; reboot")
    with pytest.raises(SettingError, match="HALFBYTE_ISA"):
        settings.isa()


def test_cache_dir_is_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "not made"))
    assert settings.cache_dir() == tmp_path / "not made"
    assert settings.models_dir() == tmp_path / "not made" / "models"
    assert not settings.cache_dir().exists()


def test_cache_dir_expands_and_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("HALFBYTE_CACHE", "~/c")
    assert settings.cache_dir() == tmp_path / "c"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALFBYTE_CACHE", "here")
    assert settings.cache_dir() == tmp_path / "here"


def test_cache_dir_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="not a file"):
        settings.cache_dir()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable names the folder, so that it lies where the platform wants it."""
    monkeypatch.delenv("HALFBYTE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_cache_dir_of_linux(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(platformdirs, "PlatformDirs", Unix)
    assert settings.cache_dir() == home / ".cache" / "halfbyte"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert settings.cache_dir() == home / "xdg" / "halfbyte"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert settings.cache_dir() == home / ".cache" / "halfbyte"


def test_cache_dir_of_macos_and_windows(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    assert settings.cache_dir() == home / "Library" / "Caches" / "halfbyte"
    monkeypatch.setattr(platformdirs, "PlatformDirs", Windows)
    folders = {"CSIDL_LOCAL_APPDATA": str(home / "local")}
    monkeypatch.setattr("platformdirs.windows.get_win_folder", folders.__getitem__)
    assert settings.cache_dir() == home / "local" / "halfbyte"


@pytest.mark.skipif(os.name == "nt", reason="looks a user up by number")
def test_no_home_folder(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(SettingError, match=r"HALFBYTE_CACHE.*no home folder"):
        settings.cache_dir()
