"""Arguments of calls, checked by name, so that none is ignored."""

from __future__ import annotations

import inspect
import numbers
import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from halfbyte import settings
from halfbyte.call_arguments import check_flag, check_path, is_whole
from halfbyte.errors import RequestError
from halfbyte.models import catalogue, hub

_T = TypeVar("_T")

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
FLAGS = (True, False)

# Arguments of transformers' from_pretrained that are not to be had here, with what leaves them off.
NOT_LOADING: dict[str, object] = {
    **dict.fromkeys(("proxies", "resume_download", "use_auth_token")),
    "force_download": False,
    "revision": "main",
}


def located(name_or_path: str | os.PathLike[str], arguments: dict[str, Any]) -> Path:
    """Take what says where a model lies out of arguments; it is pulled if it is a name's.

    `subfolder` and `gguf_file` lie below a folder, and `gguf_file` in a repository. What is fetched
    goes into `cache_dir`, and is asked for with `token`; what lies here needs neither.
    `local_files_only` pulls nothing.

    Raises:
        RequestError: neither a path nor a name, or an argument that cannot be honoured for one.
        DownloadError: it cannot be pulled.
    """
    place: str | os.PathLike[str] = name_or_path
    check_path("model", name_or_path)
    stays = arguments.pop("local_files_only", None)
    pulls = stays is None or not check_flag("local_files_only", stays)
    folder, token = arguments.pop("cache_dir", None), arguments.pop("token", None)
    if not isinstance(token, (str, bool, type(None))) or token == "":
        raise RequestError("token", expected="a text, True or False", got=type(token).__name__)
    subfolder = arguments.pop("subfolder", None)
    if not (subfolder is None or is_same(subfolder, "")):
        check_path("subfolder", subfolder)
        if not os.path.isdir(place):
            raise RequestError(
                "subfolder", expected="nothing but for a folder", got=repr(subfolder),
                hint="files of a repository's root are read: download it, and name the folder",
            )  # fmt: skip
        place = os.path.join(place, subfolder)
    file = arguments.pop("gguf_file", None)
    if file is not None:
        check_path("gguf_file", file)
        place = os.path.join(place, file) if os.path.isdir(place) else f"{os.fspath(place)}:{file}"
    into = None if folder is None else Path(check_path("cache_dir", folder))
    with settings.models_in(into), hub.asked_with(None if token is True else token):
        return catalogue.resolve(place, pull=pulls, progress=arguments.get("progress"))


def leave_out(
    arguments: Mapping[str, Any], absent: Mapping[str, object], known: Container[str] = ()
) -> dict[str, Any]:
    """The arguments that are not known, without those of `absent` that are left off."""
    return {
        name: value
        for name, value in arguments.items()
        if name not in known and not (name in absent and is_same(value, absent[name]))
    }


def is_same(value: object, plain: object) -> bool:
    """Whether a value equals a plain one; what arrays and other objects call equal is not asked."""
    return isinstance(value, (str, numbers.Number, type(None))) and bool(value == plain)


def one_of(name: str, value: _T, allowed: tuple[object, ...]) -> _T:
    """The value, which has to be one of these; raises RequestError where it is not."""
    is_flag = isinstance(value, bool)  # 1 == True, so that is looked at as well
    if not any(is_same(value, a) and isinstance(a, bool) == is_flag for a in allowed):
        shown = ", ".join(map(repr, allowed))
        raise RequestError(name, expected=f"one of {shown}", got=repr(value))
    return value


def check_count(name: str, value: object, least: int) -> None:
    """Refuse what is neither None nor a whole number from `least`."""
    if value is not None and not (is_whole(value) and value >= least):
        raise RequestError(name, expected=f"a whole number from {least}", got=repr(value))


def argument_names(names: Iterable[str], *kinds: type) -> set[str]:
    """These names, and what the constructors of classes take by name after their first argument."""
    known = set(names)
    for kind in kinds:
        parameters = list(inspect.signature(kind).parameters.values())[1:]
        known |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return known
