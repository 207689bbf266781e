"""Places to write to: what is refused, and part files with several writers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from halfbyte.conversion import convert
from halfbyte.converting import target as target_module
from halfbyte.converting.target import check_distinct, part_file
from halfbyte.errors import ConversionError, MissingFileError, RequestError


def test_the_last_writer_with_force_and_the_first_without(tmp_path: Path) -> None:
    """Two writers at once, whatever their processes are called: never a mixture."""
    target, both, errors = tmp_path / "x.gguf", threading.Barrier(2), []

    def write(text: str, force: bool) -> None:
        try:
            with part_file(target, force=force) as part:
                part.write_text(text * 1000)
                both.wait()
        except ConversionError as error:
            errors.append(error)

    for force, n_errors in ((False, 1), (True, 0)):
        errors.clear()
        threads = [threading.Thread(target=write, args=(text, force)) for text in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == n_errors
        assert all("an existing one" in str(error) for error in errors)
        assert target.read_text() in ("a" * 1000, "b" * 1000)
        assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]


def test_what_is_missing_while_it_is_written_is_named_itself(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught, part_file(tmp_path / "x.gguf", force=False):
        raise MissingFileError("text.txt", expected="a text")
    assert caught.value.path == "text.txt" and not list(tmp_path.iterdir())


def test_what_others_are_writing_is_left_alone_and_what_they_left_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / f"x.gguf.{'0' * 16}.part"
    strangers = [tmp_path / "x.gguf.mine.part", tmp_path / f"y.gguf.{'0' * 16}.part"]
    for path in (left, *strangers):
        path.write_bytes(b"half")
    with part_file(tmp_path / "x.gguf", force=False) as first:
        assert not left.exists() and "has left" in caplog.text
        first.write_bytes(b"first")
        with part_file(tmp_path / "x.gguf", force=False) as second:
            assert first.exists() and second != first
            second.write_bytes(b"second")
        with pytest.raises(KeyError), part_file(tmp_path / "z.gguf", force=False):
            raise KeyError
        (tmp_path / "x.gguf").unlink()
    assert (tmp_path / "x.gguf").read_bytes() == b"first"
    assert {path.name for path in tmp_path.iterdir()} == {"x.gguf", *(p.name for p in strangers)}


def test_file_systems_without_links_and_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(target_module, "fcntl", None)
    with part_file(tmp_path / "x", force=False) as part:
        part.write_bytes(b"1")
    with (
        pytest.raises(ConversionError, match="an existing one"),
        part_file(tmp_path / "x", force=False) as part,
    ):
        part.write_bytes(b"2")
    assert (tmp_path / "x").read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_has_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    with part_file(tmp_path / "x", force=False):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_files_are_the_same_by_name_and_by_what_lies_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    (tmp_path / "symlink").symlink_to(source)
    os.link(source, tmp_path / "hardlink")
    (tmp_path / "folder").mkdir()
    for name in ("source", "symlink", "hardlink", "folder/../source"):
        with pytest.raises(RequestError, match="another file than the source") as caught:
            check_distinct({"dst": tmp_path / name}, {"the source": [source]})
        assert caught.value.param == "dst"
    with pytest.raises(RequestError, match="another file than dst") as caught:
        new = {"dst": tmp_path / "new", "report": tmp_path / "folder" / ".." / "new"}
        check_distinct(new, {})
    assert caught.value.param == "report"
    check_distinct({"dst": tmp_path / "new", "report": None}, {"the source": [source]})


CONVERTING = """
import sys, time
from halfbyte.conversion import convert
from halfbyte.errors import ConversionError

source, target, kind = sys.argv[1:]

def wait(stage, done, total):
    if kind and done < total:
        print("begun", flush=True)
        sys.stdin.readline()

try:
    convert(source, target, type=kind, name=kind, measure=False, progress=wait)
    print("won")
except ConversionError as error:
    print(error)
"""


def test_two_processes_have_one_winner_and_no_mixture(tiny_folder: Path, tmp_path: Path) -> None:
    """Both have written a part before either may go on."""
    expected = {}
    for kind in ("f16", "q8_0"):
        convert(tiny_folder, tmp_path / kind, type=kind, name=kind, measure=False)
        expected[kind] = (tmp_path / kind).read_bytes()
        (tmp_path / kind).unlink()
    target = tmp_path / "x.gguf"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CONVERTING, tiny_folder, target, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for kind in expected
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
    assert len(list(tmp_path.glob("x.gguf.*.part"))) == 2 and not target.exists()
    said = [process.communicate("\n" * 1000)[0].replace("begun\n", "") for process in running]
    won = [text == "won\n" for text in said]
    assert sorted(won) == [False, True] and "an existing one" in said[won.index(False)]
    assert target.read_bytes() == list(expected.values())[won.index(True)]
    assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]


def test_two_threads_have_one_winner_and_no_mixture(tiny_folder: Path, tmp_path: Path) -> None:
    kinds, both, said = ("f16", "q8_0"), threading.Barrier(2), {}

    def run(kind: str) -> None:
        def wait(stage: str, done: int, total: int) -> None:
            if done == total:
                both.wait(60)

        try:
            name = {"type": kind, "name": kind, "measure": False}
            convert(tiny_folder, tmp_path / "x.gguf", progress=wait, **name)
            said[kind] = "won"
        except ConversionError as error:
            said[kind] = str(error)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [kind for kind in kinds if said[kind] == "won"]
    assert sum("an existing one" in text for text in said.values()) == 1
    convert(tiny_folder, tmp_path / "alone.gguf", type=winner, name=winner, measure=False)
    assert (tmp_path / "x.gguf").read_bytes() == (tmp_path / "alone.gguf").read_bytes()


def test_part_files_of_long_names_are_short_and_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["語" * 83 + ".gguf", "語" * 84 + "x"]  # which begin alike
    for name in names:
        with (
            pytest.raises(KeyError),
            part_file(tmp_path / name, force=False) as part,
        ):
            assert len(os.fsencode(part.name)) < 144  # what eCryptfs takes
            (left := part.with_name(part.name.replace(part.name[-21:-5], "0" * 16))).touch()
            raise KeyError
        assert left.exists()
        with part_file(tmp_path / names[names[0] == name], force=False):
            assert left.exists() and not caplog.records
        (tmp_path / names[names[0] == name]).unlink()
        with part_file(tmp_path / name, force=False):
            assert not left.exists() and "has left" in caplog.text
        (tmp_path / name).unlink()
        caplog.clear()
    assert not list(tmp_path.iterdir())
