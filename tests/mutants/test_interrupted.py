"""A sample of what `make test-interrupted-conversions` does: nothing broken gets a final name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import interrupted
from tests.mutants.interrupted import NAMES, Job


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(interrupted.make_source(tmp_path_factory.mktemp("interrupted") / "source"))


@pytest.fixture
def job(source: str, tmp_path: Path) -> Job:
    return Job(source, str(tmp_path))


def test_a_killed_conversion_leaves_a_part_that_the_next_one_removes(job: Job) -> None:
    assert interrupted.killed(replace(job, step=5), None)
    folder = Path(job.folder)
    assert not (folder / NAMES[0]).exists() and interrupted.strangers(folder)
    assert interrupted.after(job, {}) == []


def test_a_file_that_may_not_grow_is_an_error_and_leaves_what_was_there(job: Job) -> None:
    job.run()
    before = {NAMES[0]: (Path(job.folder) / NAMES[0]).read_bytes()}
    size = len(before[NAMES[0]])
    for nbytes in (0, 20, size // 3, size - 1):
        assert interrupted.cut_short(replace(job, type="q4_1"), min(nbytes, size // 2))
        assert interrupted.faults_of(Path(job.folder), before) == []
        assert interrupted.strangers(Path(job.folder)) == []


@pytest.mark.parametrize("force", [True, False])
def test_two_conversions_to_one_place(job: Job, force: bool) -> None:
    first, second = replace(job, force=force), replace(job, force=force, type="q4_0")
    assert interrupted.rivals(first, second, 0.002) == []


def test_faults_are_seen(job: Job) -> None:
    """A file with a changed weight, one without checksums, one cut short, a page, a lost file."""
    job.run()
    folder = Path(job.folder)
    model = folder / NAMES[0]
    data = model.read_bytes()
    assert interrupted.faults_of(folder, {}) == []
    at = data.index(b"halfbyte.tensors.sha256") + 40
    for broken in (data[:-100] + bytes(4) + data[-96:], data[:at] + b"0" * 64 + data[at + 64 :],
                   data[: len(data) // 2]):  # fmt: skip
        model.write_bytes(broken)
        assert interrupted.faults_of(folder, {}) != []
        assert interrupted.faults_of(folder, {NAMES[0]: broken}) == []
    model.unlink()
    (folder / NAMES[2]).write_text("<html>")
    (folder / "x.part").write_text("")
    faults = interrupted.faults_of(folder, {NAMES[0]: data})
    assert faults == ["report.html is cut short", "model.gguf is gone"]
    assert interrupted.strangers(folder) == ["x.part"]
