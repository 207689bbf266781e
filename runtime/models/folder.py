"""A Hugging Face folder as a model: converted once into the model cache, found there afterwards.

The file in the cache is named by what the folder holds: the contents of its small files and, of
the weights, name, size, time of change, header and samples. Hashing 13 GB at every start would
take longer than loading them.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from halfbyte import settings
from halfbyte.errors import ModelFileError
from halfbyte.files.file_names import file_name
from halfbyte.files.json_folder import TEMPLATES
from halfbyte.models.cache import model_lock
from halfbyte.models.inventory import stamp
from halfbyte.progress import Progress

log = logging.getLogger(__name__)

_VERSION = b"2"  # of what the converter makes of the same folder
_READ = (".json", ".jinja", ".model")
_WEIGHTS = ".safetensors"
_N_SAMPLES, _SAMPLE_NBYTES = 64, 1 << 14
_HEADER_NBYTES = 1 << 20


def converted(folder: Path, type: str, progress: Progress) -> Path:
    """A Hugging Face folder's model as a .gguf file of the cache, made by the first who asks.

    Raises:
        ConversionError: the folder cannot be converted.
        SettingError: the cache cannot be used.
    """
    name = file_name(re.sub(r"[^\w.-]", "-", folder.resolve().name))
    target = settings.models_dir() / f"{name}-{fingerprint(folder)}.{type.lower()}.gguf"
    if target.is_file():
        stamp(target)
        return target
    with model_lock(target):
        if not target.is_file():
            from halfbyte.converting.convert import convert_path
            from halfbyte.converting.options import Options
            from halfbyte.converting.target import remove_left_parts

            remove_left_parts(target.parent)  # a changed folder's have another name
            log.warning("converting %s to %s, once, into %s", folder, type, target.parent)
            convert_path(folder, target, Options(type=type, measure=False), progress=progress)
    stamp(target)
    return target


def fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that change with what a conversion would read.

    Raises:
        ModelFileError: a file cannot be read.
    """
    digest = hashlib.sha256(_VERSION)
    try:
        for path in sorted([*folder.iterdir(), *(folder / TEMPLATES).glob("*.jinja")]):
            if path.suffix not in (*_READ, _WEIGHTS) or not path.is_file():
                continue
            stat = path.stat()
            digest.update(f"{path.relative_to(folder)}\0{stat.st_size}\0".encode())
            if path.suffix == _WEIGHTS:
                digest.update(f"{stat.st_mtime_ns}\0".encode())
                _add_samples(digest, path, stat.st_size)
            else:
                digest.update(path.read_bytes())
    except OSError as error:
        raise ModelFileError(folder, expected="files that can be read", got=str(error)) from error
    return digest.hexdigest()[:16]


def _add_samples(digest: hashlib._Hash, path: Path, nbytes: int) -> None:
    with path.open("rb") as file:
        digest.update(file.read(_HEADER_NBYTES))
        for i in range(_N_SAMPLES):
            file.seek(nbytes * i // _N_SAMPLES)
            digest.update(file.read(_SAMPLE_NBYTES))
