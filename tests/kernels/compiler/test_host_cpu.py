"""What is remembered of the CPU, and when LLVM is asked again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import host_cpu

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: {mhz}
flags\t\t: fpu avx2 {more}

processor\t: 1
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere LLVM is always asked")


class Host:
    """A CPU, and how often LLVM was asked of it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.n_asked, self.answer = 0, ("znver4", "+avx2,-amx")
        self.root, self.boot = folder / "kernels", folder / "boot"
        self._cpuinfo, self._patch = folder / "cpuinfo", patch
        patch.setattr(host_cpu, "_CPUINFO", str(self._cpuinfo))
        patch.setattr(host_cpu, "_BOOT", str(self.boot))
        self.boot.write_text("first\n")
        patch.setattr(host_cpu, "_asked", self._ask)
        patch.setattr(host_cpu, "_root", self.root)
        self.is_now()

    def is_now(self, mhz: float = 2000.5, more: str = "") -> None:
        self._cpuinfo.write_text(CPUINFO.format(mhz=mhz, more=more))

    def known(self) -> tuple[str, str]:
        found = host_cpu.name_and_features()
        assert found == self.answer
        return found

    def _ask(self) -> tuple[str, str]:
        self.n_asked += 1
        return self.answer


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_llvm_is_asked_once(host: Host) -> None:
    for mhz in (2000.5, 2000.5, 3100.0):
        host.is_now(mhz)
        host.known()
    assert host.n_asked == 1


def test_other_flags_or_another_llvm_are_another_cpu(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.known()
    host.is_now(more="avx512f")
    host.answer = "znver5", "+avx2,+avx512f"
    host.known()
    monkeypatch.setattr(host_cpu, "version_of", lambda package: "another")
    host.known()
    assert host.n_asked == 3 and len(list(host.root.iterdir())) == 3


def test_another_start_or_machine_of_the_same_text_is_asked_again(host: Host) -> None:
    host.known()
    host.boot.write_text("second\n")
    host.answer = "znver4", "+avx2,+avxvnni"  # which the system has no word for
    for _ in range(2):
        host.known()
    assert host.n_asked == 2 and len(list(host.root.iterdir())) == 1
    host.boot.unlink()
    for _ in range(2):
        host.known()
    assert host.n_asked == 4


@pytest.mark.parametrize(
    "damage", ["", "{}", "[]", '{"told": "other", "name": "x"}', "\0", "[" * 60000]
)
def test_damaged_answers_are_asked_for_again(host: Host, damage: str) -> None:
    host.known()
    (path,) = host.root.iterdir()
    path.write_text(damage)
    host.known()
    assert host.n_asked == 2
    assert json.loads(path.read_text())["name"] == "znver4"
    host.known()
    assert host.n_asked == 2


def test_what_others_can_write_is_not_believed(host: Host) -> None:
    host.known()
    (path,) = host.root.iterdir()
    path.chmod(0o666)
    host.known()
    assert host.n_asked == 2


def test_where_nothing_is_told_or_kept_llvm_is_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_cpu, "_CPUINFO", "/nonexistent")
    host.known()
    monkeypatch.setattr(host_cpu, "_root", None)
    host.known()
    assert host.n_asked == 2 and not host.root.exists()


def test_this_cpu_is_what_llvm_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_cpu, "_root", tmp_path)
    asked = host_cpu._asked()
    assert [host_cpu.name_and_features() for _ in range(2)] == [asked, asked]
