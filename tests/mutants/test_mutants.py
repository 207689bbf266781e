"""A sample of the mutants that `make test-mutants` tries by the thousand, in this process."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import seeds
from tests.mutants.document import parse
from tests.mutants.run import mutant
from tests.mutants.trial import RAN, REFUSED, attempt, logits_of

# One of each kind of vocabulary; their kernels are what other tests compile, too.
NAMES = ("llama-q8_0", "qwen3-q8_0")
N_MUTANTS = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    written = {name: seeds.write(name, folder) for name in NAMES}
    # Every name has a file, so that a mutant is what its number says.
    return {name: written[NAMES[i % 2]] for i, name in enumerate(("infill-10m", *seeds.TINY))}


def test_taken_apart_and_put_together_it_is_the_same(files: dict[str, Path]) -> None:
    for path in set(files.values()):
        data = path.read_bytes()
        assert parse(data).to_bytes().rstrip(b"\0") == data.rstrip(b"\0")


def test_mutants_are_refused_or_right(files: dict[str, Path], tmp_path: Path) -> None:
    expected = {path: logits_of(path) for path in set(files.values())}
    kinds, faults = Counter[str](), []
    path = tmp_path / "mutant.gguf"
    for number in range(N_MUTANTS):
        name, done, data, is_same = mutant(number, files)
        path.write_bytes(data)
        outcome = attempt(path, expected[files[name]] if is_same else None)
        kinds[outcome.kind] += 1
        faults += [(number, done, outcome.fault)] if outcome.fault else []
    assert faults == []
    assert kinds[RAN] >= 8 and kinds[REFUSED] >= 30  # it is a sample of both
