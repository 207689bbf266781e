"""A data set completed row by row on Ray Data, which goes on where it was cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import ray.data
from ray.data.checkpoint import CheckpointConfig

import halfbyte
from halfbyte.errors import ContextLengthError, RequestError, TokenizerError
from halfbyte.lazy_dataclass import dataclass

_READERS = {".parquet": ray.data.read_parquet, ".jsonl": ray.data.read_json,
            ".json": ray.data.read_json}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Names of columns: rows by `id`, their prompts in `prompt`; what is added begins `answer`."""

    id: str
    prompt: str
    answer: str


class Completer:
    """An actor with a model; a batch of rows shares its steps."""

    def __init__(
        self, model: str, columns: Columns, load_options: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._model = halfbyte.load(model, **load_options)
        self._columns, self._options = columns, options

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The rows with their answers and why each ended."""
        columns = self._columns
        rows = zip(batch[columns.id], batch[columns.prompt], strict=True)
        answers = asyncio.run(self._answers([*rows]))
        names = (columns.answer, f"{columns.answer}_finish_reason", f"{columns.answer}_error")
        added = zip(*answers, strict=True)
        return {**batch, **{n: np.array(v, object) for n, v in zip(names, added, strict=True)}}

    async def _answers(self, rows: Sequence[tuple[Any, Any]]) -> list[tuple[str, str, str]]:
        return await asyncio.gather(*(self._answer(*row) for row in rows))

    async def _answer(self, name: Any, prompt: Any) -> tuple[str, str, str]:
        """Text, reason and error of a row; what is wrong with its prompt ends no other's work."""
        if not isinstance(prompt, str):
            return "", "error", f"{self._columns.prompt}: expected a text, got {prompt!r:.80}"
        options = dict(self._options)
        if options.get("seed") is not None:  # rows alike have answers of their own
            options["seed"] += crc32(str(name).encode())
        try:
            done = await self._model.acomplete(prompt, **options)
        except (ContextLengthError, TokenizerError) as error:
            return "", "error", str(error)
        return done.text, done.finish_reason, ""


def complete_dataset(
    source: str,
    target: str,
    *,
    model: str,
    id_column: str,
    column: str = "prompt",
    answer: str = "completion",
    checkpoint: str | None = None,
    n_actors: int = 1,
    cpus: float = 2,
    batch_size: int = 16,
    load_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Complete each row's prompt, and write all rows with their answers as Parquet files.

    Called again after it was cut short, it works on the rows that are not written yet.

    Args:
        source: a .parquet or .jsonl file, or a folder or pattern of one kind.
        target: a folder for Parquet files; `answer`_finish_reason and _error are columns too.
        model: as `halfbyte.load` takes it; on every machine.
        id_column: a column whose values differ from row to row.
        column: the prompts.
        answer: the column to add.
        checkpoint: a folder that says which rows are done; by default `target`.done beside it.
        n_actors: processes with the model loaded.
        cpus: processors for each, and threads.
        batch_size: rows that are decoded together.
        load_options: of `halfbyte.load`.
        **options: of `Model.complete`; of a `seed` and its id each row has a seed of its own.

    Raises:
        RequestError: a bad argument; and what Ray raises of a task that fails.
    """
    if "n" in options:
        raise RequestError("n", expected="one answer a row", got=options["n"])
    loading = {"threads": max(int(cpus), 1), **(load_options or {})}
    with _kept(id_column, checkpoint or f"{target.rstrip('/')}.done"):
        rows = _read(source)
        _check_columns(rows.schema(), id_column, column)
        rows.map_batches(
            Completer,
            fn_constructor_args=(model, Columns(id_column, column, answer), loading, options),
            compute=ray.data.ActorPoolStrategy(size=n_actors),
            num_cpus=cpus,
            batch_size=batch_size,
        ).write_parquet(target)


@contextmanager
def _kept(id_column: str, folder: str) -> Iterator[None]:
    """Have Ray keep in a folder which rows are written, and leave those out that are."""
    context = ray.data.DataContext.get_current()
    before = context.checkpoint_config
    context.checkpoint_config = CheckpointConfig(
        id_column, folder, delete_checkpoint_on_success=False
    )
    try:
        yield
    finally:
        context.checkpoint_config = before


def _read(source: str) -> ray.data.Dataset:
    kind = Path(source).suffix.lower() or _kind_in(source)
    if kind not in _READERS:
        raise RequestError("source", expected="a .parquet or .jsonl file", got=source)
    return _READERS[kind](source)


def _kind_in(folder: str) -> str:
    """The kind of the first file in a folder."""
    names = (
        sorted(p.suffix.lower() for p in Path(folder).glob("*")) if Path(folder).is_dir() else []
    )
    return next((name for name in names if name in _READERS), "")


def _check_columns(schema: Any, id_column: str, column: str) -> None:
    for param, name in (("id_column", id_column), ("column", column)):
        if schema is not None and name not in schema.names:
            raise RequestError(param, expected=f"one of {', '.join(schema.names)}", got=name)
