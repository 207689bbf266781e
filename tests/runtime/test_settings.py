"""halfbyte.settings: one place that reads the environment, and says what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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


def test_cache_dir_of_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HALFBYTE_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.cache_dir() == tmp_path / "xdg" / "halfbyte"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert settings.cache_dir() == tmp_path / ".cache" / "halfbyte"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert settings.cache_dir() == tmp_path / ".cache" / "halfbyte"


def test_cache_dir_of_macos_and_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HALFBYTE_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert settings.cache_dir() == tmp_path / "Library" / "Caches" / "halfbyte"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert settings.cache_dir() == tmp_path / "local" / "halfbyte"
