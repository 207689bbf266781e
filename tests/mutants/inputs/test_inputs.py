"""A sample of the mutants that `make test-input-mutants` tries by the thousand, in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import halfbyte
from tests.mutants.inputs import oracles
from tests.mutants.inputs.conversion import CONVERTED, REFUSED, Bench
from tests.mutants.inputs.imatrix_changes import taken_apart
from tests.mutants.inputs.json_text import dump, parse
from tests.mutants.inputs.mutations import KINDS
from tests.mutants.inputs.originals import FOLDERS, QUANTIZED, build
from tests.mutants.inputs.safetensors_changes import taken_apart as taken_apart_safetensors

N_MUTANTS = 20


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    place = tmp_path_factory.mktemp("inputs")
    build(place / "originals")
    return Bench(place / "originals", place / "bench")


def test_taken_apart_and_put_together_they_are_the_same(bench: Bench) -> None:
    for path in bench.originals.glob("*/*.safetensors"):
        assert taken_apart_safetensors(path.read_bytes()).to_bytes() == path.read_bytes()
    for path in bench.originals.glob("*/*.json"):
        text = path.read_text("utf-8")
        assert json.loads(dump(parse(text), indent="\n", ascii=True)) == json.loads(text)
    data = (bench.originals / "imatrix" / "m.dat").read_bytes()
    assert taken_apart(data).to_bytes() == data


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_refused_or_right(bench: Bench, kind: str) -> None:
    kinds, faults = Counter[str](), []
    for number in range(N_MUTANTS):
        one, outcome = bench.attempt(kind, number)
        kinds[outcome.kind] += 1
        faults += [(number, one.done, outcome.fault)] if outcome.fault else []
    assert faults == []
    assert kinds[REFUSED] >= 5 and kinds[CONVERTED] >= 1  # it is a sample of both


def test_originals_are_what_other_readers_say(bench: Bench) -> None:
    for name in FOLDERS:
        halfbyte.convert(bench.sources / name, bench.made, type="f32", measure=False)
        for reader in _readers(bench.sources / name):
            assert reader(bench.sources / name, bench.made) == ""
        bench.made.unlink()


@pytest.mark.parametrize(
    ("name", "other", "n_differ"),
    [("llama", "shards", 0), ("llama", "qwen2", 2), ("linear", "llama", 1), ("llama", "llama3", 0)],
)
def test_other_readers_see_what_differs(bench: Bench, name: str, other: str, n_differ: int) -> None:
    """A folder beside the file of another one."""
    halfbyte.convert(bench.sources / other, bench.made, type="f32", measure=False)
    folder = bench.sources / name
    found = [_found(reader, folder, bench.made) for reader in _readers(folder)]
    bench.made.unlink()
    assert len([fault for fault in found if fault]) == n_differ, found


def _found(reader: Callable[[Path, Path], str], folder: Path, made: Path) -> str:
    try:
        return reader(folder, made)
    except KeyError as error:  # a key that the other family has not
        return str(error)


def _readers(folder: Path) -> list[Callable[[Path, Path], str]]:
    is_json = (folder / "tokenizer.json").exists()
    found = [oracles.tokenizer_json if is_json else oracles.tokenizer_model]
    if folder.name not in QUANTIZED:
        found += [oracles.configuration, oracles.weights]
    return found
