"""Many prompts from a file: `halfbyte complete --prompts FILE.jsonl --output OUT.jsonl`.

A line of the file is a JSON string, or an object with `prompt` and, if it likes, `id`. A line of
the output has its `index` and `id`, the prompt and what came of it, or an `error`; prompts are
decoded together in groups that their place in the file decides, so that a second run gives what
the first would have given. Lines that the output already has are not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from halfbyte.cli import options, output, report, streams
from halfbyte.cli.progress import BAR
from halfbyte.errors import HalfbyteError, RequestError, TokenizerError
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.model import Model

_TOGETHER = 32
_BEGIN = b'{"index": '  # of every line that is written
_PER_MILLE = 1000  # a prompt's part of the bar, so that it moves within a group


@dataclass(frozen=True, slots=True)
class Line:
    """A prompt and its place in the file."""

    index: int
    prompt: str
    id: object


def run(args: argparse.Namespace, sampling: dict[str, Any]) -> None:
    """Write a line for every prompt that the output does not have.

    Args:
        args: the command's.
        sampling: keywords of `complete`.

    Raises:
        RequestError: a file that cannot be read, or an output that was made of other prompts.
        HalfbyteError: some prompts failed; their lines say why.
    """
    lines = read_prompts(args.prompts)
    is_failed = _read_done(args.output, lines) if args.output else {}
    n_before, begin_s = len(is_failed), time.perf_counter()
    if n_before:
        streams.note(f"{n_before} of {len(lines)} prompts are in {args.output} already")
    if n_before < len(lines):
        with options.load_model(args) as model, _output(args.output) as out:
            for group in _groups(lines, is_failed):
                results = _complete(model, group, len(lines), sampling, heal=args.heal)
                for line, result in zip(group, results, strict=True):
                    if line.index not in is_failed:
                        is_failed[line.index] = "error" in result
                        out.write(report.as_json(_fields(line) | result) + "\n")
                out.flush()
    BAR.clear()
    seconds = time.perf_counter() - begin_s
    streams.note(f"{len(lines) - n_before} prompts in {seconds:.1f} s")
    n_failed = sum(is_failed.values())
    if n_failed:
        raise HalfbyteError(f"{n_failed} of {len(lines)} prompts failed; their lines say why")


def read_prompts(name: str) -> list[Line]:
    """The prompts of a file, or of stdin where it is named -.

    Raises:
        RequestError: it cannot be read, or a line is neither of the two things it may be.
    """
    try:
        data = streams.read_stdin("--prompts") if name == "-" else Path(name).read_bytes()
    except OSError as error:
        said = f"{name}: {error.strerror or error}"
        raise RequestError("--prompts", expected="a file that can be read", got=said) from error
    rows = options.decode_utf8(data, f"--prompts {name}").split("\n")
    numbered = [(n, row) for n, row in enumerate(rows, 1) if row.strip()]
    return [_parse(f"--prompts {name}, line {n}", i, row) for i, (n, row) in enumerate(numbered)]


def _parse(where: str, index: int, row: str) -> Line:
    value = _json(where, row)
    value = {"prompt": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or not isinstance(value.get("prompt"), str):
        expected = 'a JSON string, or an object with a text "prompt"'
        raise RequestError(where, expected=expected, got=row)
    return Line(index, value["prompt"], value.get("id"))


def _json(where: str, row: str) -> Any:
    try:
        return json.loads(row)
    except (ValueError, RecursionError) as error:
        raise RequestError(where, expected="JSON", got=row) from error


def _read_done(name: str, lines: Sequence[Line]) -> dict[int, bool]:
    """The indices that an output has, and whether they failed; what a kill left half is cut off."""
    path = Path(name)
    with _errors_of_output(name):
        if not (path.is_file() or path.is_dir()):  # a device or pipe is only written to
            return {}
        data = path.read_bytes()
    n_whole = data.rfind(b"\n") + 1
    whole = options.decode_utf8(data[:n_whole], f"--output {name}")
    done: dict[int, bool] = {}
    for n, row in enumerate(whole.split("\n")[:-1], 1):
        where = f"--output {name}, line {n}"
        value = _json(where, row)
        index = value.get("index") if isinstance(value, dict) else None
        known = lines[index] if type(index) is int and 0 <= index < len(lines) else None
        if known is None or value.get("prompt") != known.prompt:
            raise RequestError(
                where, expected="an answer to a line of --prompts", got=row,
                hint="it was made of other prompts: name another file",
            )  # fmt: skip
        done[known.index] = "error" in value
    if not done and data and not data.startswith(_BEGIN):
        raise RequestError("--output", expected="a file of earlier answers, or none", got=name)
    with _errors_of_output(name):  # not before it is known to be ours
        os.truncate(path, n_whole)
    return done


def _groups(lines: Sequence[Line], done: Iterable[int]) -> Iterator[Sequence[Line]]:
    """The groups of which something is missing."""
    known = set(done)
    for begin in range(0, len(lines), _TOGETHER):
        group = lines[begin : begin + _TOGETHER]
        if any(line.index not in known for line in group):
            yield group


def _complete(
    model: Model, group: Sequence[Line], n: int, sampling: dict[str, Any], *, heal: bool
) -> list[dict[str, Any]]:
    """What came of each prompt of a group: decoded together, or where one is refused one by one."""
    first = group[0].index
    # Equal prompts of two groups are to have two answers.
    drawn = sampling | {"seed": sampling["seed"] + first} if "seed" in sampling else sampling

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "decode":
            part = len(group) * _PER_MILLE * done // max(total, 1)
            BAR("prompts", min(first * _PER_MILLE + part, n * _PER_MILLE - 1), n * _PER_MILLE)

    prompts = [line.prompt for line in group]
    try:
        results = model.complete(prompts, heal=heal, progress=progress, **drawn)
    except (RequestError, TokenizerError) as error:
        if len(group) == 1:
            return [{"error": report.error_fields(error, str(error))}]
        return [_complete(model, [line], n, sampling, heal=heal)[0] for line in group]
    return [
        {"text": done.text, "healed": done.healed, "tokens": done.tokens,
         "finish_reason": done.finish_reason, "stats": asdict(done.stats)}
        | output.completeness(done)
        for done in results
    ]  # fmt: skip


def _fields(line: Line) -> dict[str, Any]:
    id = {} if line.id is None else {"id": line.id}
    return {"index": line.index, **id, "prompt": line.prompt}


@contextmanager
def _output(name: str | None) -> Iterator[IO[str]]:
    """The file, at its end, or stdout."""
    if name is None:
        yield sys.stdout
        return
    with _errors_of_output(name), open(name, "a", encoding="utf-8", newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _errors_of_output(name: str) -> Iterator[None]:
    try:
        yield
    except HalfbyteError:  # some are OSErrors too
        raise
    except OSError as error:
        said = f"{name}: {error.strerror or error}"
        raise RequestError("--output", expected="a file to write to", got=said) from error
