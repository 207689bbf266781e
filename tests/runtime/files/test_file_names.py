"""Names that are made of other names, long ones, and paths that the system refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import halfbyte
from halfbyte import system
from halfbyte.converting.target import check_target
from halfbyte.errors import ConversionError, HalfbyteError, MissingFileError, RequestError
from halfbyte.files.file_names import cut_name, file_name, refusal
from halfbyte.tokenizer import Tokenizer


def test_names_are_cut_between_characters() -> None:
    assert cut_name("abc", 3) == "abc" and cut_name("abc", 2) == "ab"
    assert cut_name("aää", 2) == "a" and cut_name("aää", 3) == "aä"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Llama 3", "Llama 3"),
        ("org/name", "org-name"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("a\nb\0c", "a-b-c"),
        ("", "model"),
        ("..", "model"),
        ("a\ud800", "a"),
    ],
)
def test_any_text_makes_a_name(text: str, name: str) -> None:
    assert file_name(text) == name


def test_a_text_of_any_length_makes_a_name(tmp_path: Path) -> None:
    for text in ("x" * 1000, "ä" * 1000, "語" * 1000):
        (tmp_path / file_name(text)).touch()


def _places(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Paths that cannot be, and why not."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    return {
        "too long": (tmp_path / ("x" * 256), "File name too long"),
        "too deep": (tmp_path.joinpath(*["y" * 200] * 25), "File name too long"),
        "in a loop": (tmp_path / "loop" / "x.gguf", "Too many levels of symbolic links"),
        "below a file": (tmp_path / "file" / "x.gguf", "Not a directory"),
    }


@pytest.mark.parametrize("what", ["too long", "too deep", "in a loop", "below a file"])
def test_paths_that_cannot_be_are_told_by_argument_and_reason(
    tiny_gguf: Path, tmp_path: Path, what: str
) -> None:
    path, reason = _places(tmp_path)[what]
    assert refusal(path) == reason
    for param, options in (
        ("dst", {"measure": False}),
        ("report", {"report": path}),
        ("save_imatrix", {"save_imatrix": path, "calibrate": True}),
        ("calibrate", {"calibrate": path}),
    ):
        target = path if param == "dst" else tmp_path / "x.gguf"
        with pytest.raises(RequestError) as caught:
            halfbyte.convert(tiny_gguf, target, type="q4_0", **options)
        assert caught.value.param == param and reason in str(caught.value.got)
        assert not (tmp_path / "x.gguf").exists()
    reads: list[Callable[[Path], object]] = [
        halfbyte.load, Tokenizer.from_path, halfbyte.AutoTokenizer.from_pretrained
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(HalfbyteError, match=reason):
            read(path)


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "none")
    with pytest.raises(MissingFileError, match="a link to nothing"):
        halfbyte.load(tmp_path / "link")
    with pytest.raises(ConversionError, match="an existing one"):
        check_target(tmp_path / "link", force=False)


def test_null_characters_and_halves_of_pairs(tiny_gguf: Path) -> None:
    for path in ("a\0b", "\ud800", ""):
        with pytest.raises(HalfbyteError):
            Tokenizer.from_path(path)
        with pytest.raises(RequestError) as caught:
            halfbyte.convert(tiny_gguf, path, measure=False)
        assert caught.value.param == "dst"


def test_no_device_is_replaced_and_no_folder_written_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConversionError, match="a pipe, socket or device"):
        check_target(Path(os.devnull), force=True)
    # Not by permissions, which do not bind root.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConversionError, match="read-only"):
        check_target(tmp_path / "x", force=True)


@pytest.mark.parametrize("n_bytes", [246, 255])
def test_names_as_long_as_the_system_takes(tiny_gguf: Path, tmp_path: Path, n_bytes: int) -> None:
    """What is written beside a file has a name that is no longer."""
    name = "é" * ((n_bytes - 5) // 2) + "x" * ((n_bytes - 5) % 2) + ".gguf"
    assert len(os.fsencode(name)) == n_bytes
    source, target = tmp_path / f"s{name[2:]}", tmp_path / name
    shutil.copy(tiny_gguf, source)
    report = halfbyte.convert(source, target, type="q8_0", measure=False)
    assert Path(report.path) == target
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((source.name, name))


def test_a_folder_whose_name_is_long_is_loaded(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.set_up_kernels()  # compiled code stays where it is
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(tiny_folder, tmp_path / ("語" * 85))
    with halfbyte.load(folder, threads=1) as model:
        assert Path(model.path).parent == tmp_path / "cache" / "models"


def test_the_file_is_named_by_the_model_in_the_working_directory(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the model's name is."""
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named.gguf"
    halfbyte.convert(tiny_gguf, named, name="../org/" + "n" * 300, measure=False)
    report = halfbyte.convert(named, type="q4_0", measure=False)
    assert Path(report.path).resolve().parent == tmp_path
    assert report.path.startswith("org-nnn") and report.path.endswith(".q4_0.gguf")
