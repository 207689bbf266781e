"""Fetch a model from a Hugging Face hub, with its own client (the extra `hub`).

The client knows the endpoint (HF_ENDPOINT), the token and the proxy. Files of the repository
come into a folder of the model cache that is named for the commit, where an interrupted
download of many gigabytes is taken up again by the next pull. Sizes and, where the hub states
them, SHA-256 are checked. A .gguf is then moved to its final name, safetensors are converted to
it; after that the folder goes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import DownloadError, ModelFileError
from halfbyte.files.file_kinds import has_gguf_name
from halfbyte.gguf.shard_name import ShardName
from halfbyte.models.cache import (
    check_sha256,
    check_space,
    model_lock,
    os_errors,
    remove_folders,
    sha256_of,
    size_of_files,
)
from halfbyte.models.entries import HubModel
from halfbyte.models.hub_files import RemoteFile, choose_files
from halfbyte.models.model_files import files_of, model_at
from halfbyte.progress import Progress

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_MAGIC = b"GGUF"
_NETWORK_ONCE = (
    "fetching it needs the network, once; with its files in a folder, `halfbyte convert FOLDER` "
    "makes a .gguf file to name instead"
)


def pull_repository(entry: HubModel, target: Path, *, force: bool, progress: Progress) -> Path:
    """Bring the repository's model to `target`, unless it is there and not `force`; where it lies.

    A split model's files lie beside it, see cache.model_at.

    Raises:
        DownloadError: the client is missing or failed, the repository has no model that halfbyte
            can read, or what came is not what the hub described.
        ConversionError: the safetensors could not be converted.
        SettingError: the cache folder cannot be made or written.
    """
    with model_lock(target) as is_alone:
        before = model_at(target)
        if before is not None and not force:
            return before
        with _fetched(entry, target, is_alone, progress) as source, os_errors(entry.name):
            path = _place(entry, source, target, progress)
            if before is not None:
                for file in {*files_of(before)} - {*files_of(path)}:
                    file.unlink()
    _log.info("pulled %s to %s", entry.name, path)
    return path


def size_to_fetch(entry: HubModel) -> int:
    """Bytes that a pull fetches, as the hub says now.

    Raises:
        DownloadError: as `pull_repository`.
    """
    _, listing = _list_files(_client(entry), entry)
    return sum(file.nbytes for file in choose_files(entry, listing))


@contextmanager
def fetched_repository(entry: HubModel, target: Path, *, progress: Progress) -> Iterator[Path]:
    """The repository's model as it lies on the hub, a .gguf file or a folder, while one needs it.

    `target` is what `pull_repository` would make; the files lie beside it.

    Raises:
        DownloadError, SettingError: as `pull_repository`.
    """
    with model_lock(target) as is_alone, _fetched(entry, target, is_alone, progress) as source:
        yield source


@contextmanager
def _fetched(entry: HubModel, target: Path, is_alone: bool, progress: Progress) -> Iterator[Path]:
    """Download; the files go when the block ends well, and else wait for the next try."""
    hub = _client(entry)
    commit, listing = _list_files(hub, entry)
    files = choose_files(entry, listing)
    folder = target.with_name(f".{target.name}.{commit[:12]}.download")
    if is_alone:
        # What was begun of other commits.
        remove_folders(target.parent, f".{target.name}.*.download", but=folder)
    with os_errors(entry.name):
        folder.mkdir(exist_ok=True)
        missing = sum(file.nbytes for file in files) - size_of_files(folder)
        check_space(folder, max(missing, 0), entry.name)
    _download(hub, entry, commit, files, folder, progress)
    yield folder / files[0].name if has_gguf_name(files[0].name) else folder
    shutil.rmtree(folder, ignore_errors=True)


def _client(entry: HubModel) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise DownloadError(
            f"{entry.name}: pulling {entry.repo} from the hub needs huggingface_hub",
            hint="pip install 'halfbyte[hub]' (if you meant a file: nothing lies at that path); "
            + _NETWORK_ONCE,
        ) from error
    return huggingface_hub


@contextmanager
def asked_with(token: str | bool | None) -> Iterator[None]:
    """Have this thread's requests carry a token; None leaves it to the client, False sends none."""
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


_token: ContextVar[str | bool | None] = ContextVar("token", default=None)


def _endpoint() -> str | None:
    """The hub's address if the user set one; else the client has its own."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


@contextmanager
def _client_errors(entry: HubModel) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the client's errors have no common base across its versions
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DownloadError(
            f"{entry.name}: the hub's client says: {first}", hint=_NETWORK_ONCE
        ) from error


def _list_files(hub: Any, entry: HubModel) -> tuple[str, list[RemoteFile]]:
    """The commit that `main` is now, and all files of it."""
    with _client_errors(entry):
        api = hub.HfApi(endpoint=_endpoint(), token=_token.get())
        info = api.model_info(entry.repo, files_metadata=True)
        commit = str(info.sha)
        files = [
            RemoteFile(
                name=str(sibling.rfilename),
                nbytes=int(sibling.size or 0),
                sha256=str(sibling.lfs.sha256) if sibling.lfs else "",
            )
            for sibling in info.siblings or []
        ]
    if not re.fullmatch(r"[0-9a-fA-F]{7,64}", commit):
        raise DownloadError(f"{entry.name}: expected a commit's hash from the hub, got {commit!r}")
    return commit, files


def _download(
    hub: Any,
    entry: HubModel,
    commit: str,
    files: list[RemoteFile],
    folder: Path,
    progress: Progress,
) -> None:
    with _quiet(hub), _watched(entry, files, folder, progress):
        for file in files:
            with _client_errors(entry):
                hub.hf_hub_download(
                    entry.repo, file.name, revision=commit, local_dir=folder,
                    endpoint=_endpoint(), token=_token.get(),
                )  # fmt: skip
            _check(entry, folder / file.name, file)


def _check(entry: HubModel, path: Path, file: RemoteFile) -> None:
    """DownloadError, and the file removed, where it is not as the hub described it."""
    try:
        try:
            nbytes = path.stat().st_size
        except OSError as error:
            said = error.strerror or str(error)
            raise DownloadError(
                f"{entry.name}: {file.name}: the hub's client left no file ({said})",
                hint="another version of huggingface_hub may do better",
            ) from error
        if nbytes != file.nbytes:
            raise DownloadError(
                f"{entry.name}: {file.name}: expected {file.nbytes} bytes, got {nbytes}"
            )
        if file.sha256:
            check_sha256(entry.name, file.name, file.sha256, sha256_of(path))
    except DownloadError:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """No progress bars of the client: what is shown is the caller's business."""
    was_quiet = hub.utils.are_progress_bars_disabled()
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        if not was_quiet:
            hub.utils.enable_progress_bars()


@contextmanager
def _watched(
    entry: HubModel, files: list[RemoteFile], folder: Path, progress: Progress
) -> Iterator[None]:
    """Report the folder's size from a thread while the client fills it."""
    total = sum(file.nbytes for file in files)
    stage = f"download {entry.name}"
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_S):
            progress(stage, min(size_of_files(folder), total), total)

    thread = threading.Thread(target=watch, name="halfbyte-progress", daemon=True)
    progress(stage, min(size_of_files(folder), total), total)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    progress(stage, total, total)


def _check_magic(entry: HubModel, path: Path) -> None:
    """DownloadError, and the file removed, where it is no GGUF file whatever its name says."""
    with path.open("rb") as file:
        begin = file.read(len(_MAGIC))
    if begin != _MAGIC:
        path.unlink()
        raise DownloadError(
            f"{entry.name}: {path.name}: expected a GGUF file, got one that begins with {begin!r}",
            hint="the repository holds something else under this name",
        )


def _place(entry: HubModel, source: Path, target: Path, progress: Progress) -> Path:
    """Make the final file out of what came; a rename is the last step."""
    if source.is_file():
        _check_magic(entry, source)
        return _place_shards(entry, source, target)
    from halfbyte.converting.convert import convert_path
    from halfbyte.converting.options import Options

    result = source / target.name
    name = entry.repo.rpartition("/")[2]
    options = Options(type=entry.type, name=name, measure=False, force=True)
    convert_path(source, result, options, progress=progress)
    os.replace(result, target)
    return target


def _place_shards(entry: HubModel, source: Path, target: Path) -> Path:
    """Move a model's file, or all of a split one's; the first, which stands for it, comes last."""
    files = files_of(source)
    shard = ShardName.of(source.name)
    if shard is not None:
        if ShardName.of(target.name) is None:
            stem = target.name.removesuffix(".gguf")
            target = target.with_name(replace(shard, prefix=stem, ending=".gguf").all()[0])
        _check_shards(entry, source)
    for old, new in reversed([*zip(files, files_of(target), strict=True)]):
        os.replace(old, new)
    return target


def _check_shards(entry: HubModel, first: Path) -> None:
    """DownloadError where files of a split model do not belong together, or lack a tensor."""
    from halfbyte.gguf.file import GGUFFile

    try:
        GGUFFile.open(first, strict_types=False).close()
    except ModelFileError as error:
        raise DownloadError(f"{entry.name}: {error}") from error
