"""Threads by affinity, SMT and cgroup quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte import system
from halfbyte.errors import SettingError


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALFBYTE_THREADS", raising=False)
    monkeypatch.setattr(system, "_allowed_cpus", lambda: set(range(8)))
    monkeypatch.setattr(system.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(system, "_physical_cores", lambda cpus: len(cpus) // 2)
    monkeypatch.setattr(system, "_cpu_quota", lambda: None)


def test_smt_siblings_count_once(eight_cpus: None) -> None:
    assert system.default_threads() == system.Threads(4, "physical cores")


def test_a_quota_is_rounded_down(eight_cpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_cpu_quota", lambda: 3.9)
    assert system.default_threads() == system.Threads(3, "the CPU quota of 3.9")
    monkeypatch.setattr(system, "_cpu_quota", lambda: 0.5)
    assert system.default_threads().count == 1
    monkeypatch.setattr(system, "_cpu_quota", lambda: 16.0)
    assert system.default_threads().count == 4


def test_an_affinity_mask_counts(eight_cpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_allowed_cpus", lambda: {0, 1})
    assert system.default_threads() == system.Threads(1, "physical cores within the affinity mask")


def test_the_environment_wins(eight_cpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFBYTE_THREADS", "7")
    assert system.default_threads() == system.Threads(7, "HALFBYTE_THREADS")
    monkeypatch.setenv("HALFBYTE_THREADS", "many")
    with pytest.raises(SettingError, match="HALFBYTE_THREADS"):
        system.default_threads()


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_quota_files_of_both_cgroup_versions(
    files: dict[str, str], quota: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(system, "_cgroup_folders", lambda: [tmp_path, tmp_path / "absent"])
    assert system._cpu_quota() == quota


def test_compiled_kernels_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    version = tmp_path / "kernels" / f"avx2-{0:016x}"
    version.mkdir(parents=True)
    (version / "a.kernel").write_bytes(b"12345")
    assert system.remove_kernels() == 5
    assert not version.exists() and system.remove_kernels() == 0


def test_kernels_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    (tmp_path / "kernels").write_bytes(b"")
    with pytest.raises(SettingError, match="Not a directory") as caught:
        system.remove_kernels()
    assert caught.value.name == "HALFBYTE_CACHE"
