"""Compiled kernels are removed, and nothing else that lies there."""

from __future__ import annotations

from pathlib import Path

from halfbyte.kernels.compiler.jit import cache_key
from halfbyte.kernels.compiler.removal import remove_kernels


def test_only_folders_of_kernels_go(tmp_path: Path) -> None:
    for name in (cache_key(), "avx2-0123456789abcdef", "mine", "avx2-short"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.nbi").write_bytes(b"12345")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "avx2-fedcba9876543210").symlink_to(tmp_path / "elsewhere")
    assert remove_kernels(tmp_path) == 10
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mine", "avx2-short", "elsewhere", "avx2-fedcba9876543210"}
    assert remove_kernels(tmp_path / "absent") == 0
