"""`halfbyte serve`: models for editors and programs, over HTTP."""

from __future__ import annotations

import argparse
import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfbyte.cli import options, streams
from halfbyte.cli.config_file import add_config
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import SettingError
from halfbyte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from halfbyte.model import Model
    from halfbyte.server.listening import Listening
    from halfbyte.server.served_model import ServedModel
    from halfbyte.server.server_settings import ServerSettings

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_NAME = re.compile(r"[\w.:@+-][\w.:@+/-]*")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def add(parser: Parser) -> None:
    """Declare the options; none has a default, so that a file may give what nobody gave."""
    parser.add_argument(
        "-m", "--model", action="append", metavar="[NAME=]MODEL",
        help="what to serve, by the name that clients say; the first is loaded at once and is for "
        f"who names none, others when they are asked for (default: {DEFAULT_MODEL})",
    )  # fmt: skip
    add_config(parser)
    _add_address(parser)
    options.add_engine(parser)
    parser.set_defaults(kv_type=None, arithmetic=None)
    _add_models(parser)
    _add_access(parser)
    _add_limits(parser)
    _add_log(parser)


def run(args: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    _check_installed()
    from halfbyte.models import catalogue
    from halfbyte.server.serving import GRACE_S, serve
    from halfbyte.server.shelf import Shelf

    settings = _settings(args)
    sources = _sources(args.model or [DEFAULT_MODEL])
    for source in sources.values():  # those too that are loaded later
        catalogue.check(source)
    shelf = Shelf(
        sources, partial(_load, args, next(iter(sources.values()))), idle_s=args.idle_unload
    )
    if not args.quiet and settings.log_format != "off":
        logging.getLogger("halfbyte.server.requests").setLevel(logging.INFO)
    for pattern in settings.dropped:
        streams.note(f"dropped from system messages and prompts: {pattern.pattern}")
    ready, grace_s = partial(_say_ready, args), args.grace or GRACE_S
    serve(shelf, settings, _listening(args), ready, grace_s)


def _add_address(parser: Parser) -> None:
    group = parser.add_argument_group("address")
    group.add_argument("--host", metavar="HOST", help="where to listen (default: 127.0.0.1)")
    group.add_argument("--port", type=_port, metavar="N", help="0: any (default: 8012)")
    group.add_argument(
        "--unix-socket", metavar="PATH", help="listen on a socket in the file system instead"
    )
    _flag(group, "--ollama", "listen on 11434 too, where Ollama's clients look")
    group.add_argument("--tls-cert", metavar="FILE", help="a certificate, as PEM: HTTPS")
    group.add_argument("--tls-key", metavar="FILE", help="its key, if it is not in that file")


def _add_models(parser: Parser) -> None:
    group = parser.add_argument_group("models")
    _flag(group, "--offline", "take models from this machine only")
    group.add_argument(
        "--idle-unload", type=_seconds, metavar="S",
        help="unload a model that nobody has asked for so long (default: never)",
    )  # fmt: skip
    group.add_argument(
        "--prompt-cache-bytes", type=_nbytes, metavar="N",
        help="memory for remembered prompts, such as 2G (default: by the context)",
    )  # fmt: skip
    group.add_argument(
        "--prompt-cache", "--prompt-cache-dir", dest="prompt_cache", metavar="DIR",
        help="a folder in which they outlast the process (docs/caches.md)",
    )  # fmt: skip
    group.add_argument(
        "--prompt-cache-dir-bytes", type=_nbytes, metavar="N", help="its size (default: 8Gi)"
    )
    group.add_argument(
        "--slot-save-path", type=Path, metavar="DIR",
        help="a folder in which clients may save them by llama.cpp's /slots (default: refused)",
    )  # fmt: skip
    options.add_draft(group, "a smaller model that guesses for the first one")
    group.add_argument(
        "--adapter", action="append", type=options.adapter, metavar="PATH[=SCALE]",
        help="a LoRA for the first model; may be given again",
    )  # fmt: skip


def _add_access(parser: Parser) -> None:
    group = parser.add_argument_group("who may ask")
    group.add_argument(
        "--api-key-file", metavar="FILE", help="lines of name:key; readable by this user only"
    )
    _flag(group, "--insecure", "let everybody ask who reaches --host, without a key")
    group.add_argument(
        "--allowed-host", action="append", metavar="NAME",
        help="a name that clients call this machine by; .example.com: all below; *: any",
    )  # fmt: skip
    group.add_argument(
        "--cors-origin", action="append", type=_origin, metavar="ORIGIN",
        help="pages that may ask, such as https://chat.example.com; *: any (default: none)",
    )  # fmt: skip
    _flag(group, "--allow-templates", "let requests bring chat templates, run in a sandbox")
    group.add_argument(
        "--drop-pattern", action="append", type=_pattern, metavar="REGEX",
        help="remove what matches from system messages and prompts, as a date that keeps what "
        "follows from being remembered",
    )  # fmt: skip


def _add_limits(parser: Parser) -> None:
    group = parser.add_argument_group("limits")
    for flag, kind, unit, what in (
        ("--parallel", options.positive, "N", "requests worked on at a time (default: 32)"),
        ("--queue", options.natural, "N", "requests that may wait besides (default: 256)"),
        ("--timeout", _seconds, "S", "seconds for an answer, waiting included (default: none)"),
        ("--max-body", _nbytes, "N", "bytes of a request (default: 8Mi)"),
        ("--grace", _seconds, "S", "seconds for answers on their way at the end (default: 5)"),
        ("--max-tokens", options.positive, "N", "tokens of an answer (default: the context's)"),
        ("--max-n", options.positive, "N", "answers to one request (default: 16)"),
    ):
        group.add_argument(flag, type=kind, metavar=unit, help=what)


def _add_log(parser: Parser) -> None:
    group = parser.add_argument_group("log and metrics")
    group.add_argument(
        "--log-format", choices=("text", "json", "off"), help="of a request's line (default: text)"
    )
    _flag(group, "--log-prompts", "have it show what was asked")
    group.add_argument(
        "--metrics", choices=("key", "open", "off"),
        help="/metrics for who has a key, everybody or nobody (default: key)",
    )  # fmt: skip


def _flag(group: argparse._ArgumentGroup, flag: str, what: str) -> None:
    group.add_argument(flag, action="store_true", default=None, help=what)


def _check_installed() -> None:
    """SettingError where a package of the extra is missing."""
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import pydantic  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SettingError(
            "serve", expected="the packages of the extra `server`", got=f"no {error.name}",
            hint="pip install 'halfbyte[server]'",
        ) from error  # fmt: skip


def _settings(args: argparse.Namespace) -> ServerSettings:
    from halfbyte.server.api_keys import read_keys
    from halfbyte.server.server_settings import ServerSettings

    given = {
        "n_places": args.parallel, "n_waiting": args.queue, "timeout": args.timeout,
        "max_body": args.max_body, "max_n": args.max_n, "max_tokens": args.max_tokens,
        "metrics": args.metrics, "log_format": args.log_format, "logs_prompts": args.log_prompts,
        "allows_templates": args.allow_templates, "slot_save_path": args.slot_save_path,
        "keys": None if args.api_key_file is None else read_keys(args.api_key_file),
        "hosts": (*(args.allowed_host or ()), *([args.host] if args.host else [])),
        "origins": tuple(args.cors_origin or ()), "dropped": tuple(args.drop_pattern or ()),
    }  # fmt: skip
    return ServerSettings(**{name: value for name, value in given.items() if value is not None})


def _listening(args: argparse.Namespace) -> Listening:
    from halfbyte.server.listening import Listening

    given = {
        "host": args.host, "port": args.port, "unix_socket": args.unix_socket,
        "ollama": args.ollama, "tls_cert": args.tls_cert, "tls_key": args.tls_key,
        "is_insecure": args.insecure,
    }  # fmt: skip
    return Listening(**{name: value for name, value in given.items() if value is not None})


def _sources(asked: list[str]) -> dict[str, str]:
    """What to load for each name.

    Raises:
        SettingError: two have one name.
    """
    sources: dict[str, str] = {}
    for text in asked:
        name, equals, source = text.partition("=")
        if not equals or _NAME.fullmatch(name) is None or Path(text).exists():
            name, source = _name_of(text), text
        if name in sources or not source:
            raise SettingError(
                "--model", expected="models under different names", got=text,
                hint="name them: -m NAME=MODEL",
            )  # fmt: skip
        sources[name] = source
    return sources


def _name_of(source: str) -> str:
    """What a model is called: a file's or a folder's name, else its name in the catalogue."""
    if source.endswith(".gguf") or Path(source).exists():
        return _SHARD.sub("", Path(source).name.removesuffix(".gguf")) or source
    return source


def _load(args: argparse.Namespace, first: str, source: str) -> Model:
    import halfbyte
    from halfbyte.models import catalogue

    how: dict[str, Any] = {
        "threads": args.threads, "ctx": args.ctx, "kv_type": args.kv_type,
        "arithmetic": args.arithmetic, "attention_window": args.attention_window,
        "attention_sinks": args.attention_sinks,
        "prompt_cache_bytes": args.prompt_cache_bytes, "prompt_cache_dir": args.prompt_cache,
        "prompt_cache_dir_bytes": args.prompt_cache_dir_bytes,
    }  # fmt: skip
    if source == first:
        how |= {"draft": args.draft, "adapter": args.adapter}
    if args.offline:
        for name in (source, how.get("draft")):
            if name:
                catalogue.resolve(name, pull=False)
    given = {name: value for name, value in how.items() if value is not None}
    return halfbyte.load(source, progress=BAR, **given)


def _say_ready(args: argparse.Namespace, url: str, model: ServedModel) -> None:
    """What to paste where."""
    from halfbyte.cli.editor_lines import NO_KEY, editor_lines

    BAR.clear()
    streams.say(f"ready: {url} serves {model.name}")
    if args.unix_socket is not None:
        return
    key = NO_KEY if args.api_key_file is None else "KEY"
    for program, line in editor_lines(url, model, key):
        streams.note(f"  {program + ':':<16}{line}")
    streams.note("  and more:       docs/editors.md")


def _port(text: str) -> int:
    number = options.natural(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return seconds


def _nbytes(text: str) -> int:
    """A number of bytes, for argparse: 2G, 512Mi."""
    found = re.fullmatch(r"(\d{1,18})\s*([kmgKMG]?i?)[bB]?", text)
    if found is None or found[2].lower() not in _UNITS:
        raise argparse.ArgumentTypeError(f"expected bytes, such as 512Mi or 2G, got {text!r}")
    return int(found[1]) * _UNITS[found[2].lower()]


def _origin(text: str) -> str:
    """As a browser spells it, since what it says is compared with this."""
    if text in ("*", "null") or re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@A-Z]+", text):
        return text
    raise argparse.ArgumentTypeError(
        f"expected * or scheme://host, in small letters, without a path, got {text!r}"
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL | re.MULTILINE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"expected a regular expression: {error}") from error
