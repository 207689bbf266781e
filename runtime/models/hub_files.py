"""Which files of a hub's repository make the model that is meant."""

from __future__ import annotations

import re

from halfbyte.errors import DownloadError
from halfbyte.files.adapters import ADAPTER_FILE, MERGE
from halfbyte.files.json_folder import TEMPLATES
from halfbyte.gguf.shard_name import main_models, shards_of
from halfbyte.lazy_dataclass import dataclass
from halfbyte.models.entries import HubModel

# Of the root folder; and in folders of it, as most repositories have split models.
_PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_BELOW = re.compile(r"\w[\w.-]*/\w[\w.-]*\.(?i:gguf)", re.ASCII)
_TEMPLATE = re.compile(rf"{TEMPLATES}/\w[\w.-]*\.jinja", re.ASCII)
_PICKLES = (".bin", ".pth", ".pt", ".ckpt")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it; sha256 is empty for small files, kept in git itself."""

    name: str
    nbytes: int
    sha256: str


def choose_files(entry: HubModel, listing: list[RemoteFile]) -> list[RemoteFile]:
    """The files to fetch: one model's .gguf, or safetensors with their configuration and tokenizer.

    Raises:
        DownloadError: there is no such model, or it is an adapter, lacks a file, or is one of
            several.
    """
    files = {file.name: file for file in listing if _PLAIN_NAME.fullmatch(file.name)}
    ggufs = files | {file.name: file for file in listing if _BELOW.fullmatch(file.name)}
    if entry.file:
        return _gguf_files(entry, ggufs, entry.file)
    if ADAPTER_FILE in files:
        raise DownloadError(f"{entry.repo}: holds an adapter", hint=MERGE)
    tensors = [name for name in files if name.endswith(".safetensors")]
    if tensors:
        # Some repositories hold the weights twice, once as consolidated.safetensors.
        tensors = [name for name in tensors if name.startswith("model")] or tensors
        rest = [name for name in files if name.endswith((".json", ".jinja"))]
        rest += [name for name in ("tokenizer.model",) if name in files]
        more = [file for file in listing if _TEMPLATE.fullmatch(file.name)]
        return [*(files[name] for name in sorted(rest)), *more,
                *(files[name] for name in sorted(tensors))]  # fmt: skip
    models = main_models(files) or main_models(ggufs)
    if len(models) == 1:
        return _gguf_files(entry, ggufs, models[0])
    if models:
        raise DownloadError(
            f"{entry.repo}: has {len(models)} models as .gguf", hint=_offer(entry, ggufs)
        )
    if any(name.endswith(_PICKLES) for name in files):
        raise DownloadError(
            f"{entry.repo}: has only pickled weights, which halfbyte does not read",
            hint="ask its authors for safetensors, or look for a converted copy",
        )
    raise DownloadError(f"{entry.repo}: has neither safetensors nor a .gguf file")


def _gguf_files(entry: HubModel, files: dict[str, RemoteFile], name: str) -> list[RemoteFile]:
    """A model's file, or all files of a split one."""
    names = shards_of(name)
    missing = [one for one in names if one not in files]
    if missing == names:
        raise DownloadError(f"{entry.repo}: has no file {name}", hint=_offer(entry, files))
    if missing:
        raise DownloadError(
            f"{entry.repo}: has only {len(names) - len(missing)} of {len(names)} files of a split "
            f"model: no {', '.join(missing)}"
        )
    return [files[one] for one in names]


def _offer(entry: HubModel, files: dict[str, RemoteFile]) -> str:
    names = [f"{entry.repo}:{name}" for name in main_models(files)]
    return f"name one: {', '.join(names)}" if names else "it has no .gguf file at all"
