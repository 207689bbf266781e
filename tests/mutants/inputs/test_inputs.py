"""A sample of the mutants that `make test-input-mutants` tries by the thousand, in this process."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.mutants.inputs import oracles
from tests.mutants.inputs.conversion import CONVERTED, REFUSED, Bench
from tests.mutants.inputs.imatrix_changes import taken_apart
from tests.mutants.inputs.json_text import dump, parse
from tests.mutants.inputs.mutations import KINDS
from tests.mutants.inputs.originals import FOLDERS, build
from tests.mutants.inputs.safetensors_changes import taken_apart as taken_apart_safetensors

N_MUTANTS = 25


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
    assert kinds[REFUSED] >= 5 and kinds[CONVERTED] >= 2  # it is a sample of both


def test_originals_are_what_other_readers_say(bench: Bench) -> None:
    """Every folder converts, and each reader would see a difference."""
    import halfbyte

    for name in FOLDERS:
        halfbyte.convert(bench.sources / name, bench.made, type="f32", measure=False)
        folder = bench.sources / name
        read = [oracles.configuration]
        read += [oracles.tokenizer_json if (folder / "tokenizer.json").exists()
                 else oracles.tokenizer_model]  # fmt: skip
        read += [] if name in ("gptq", "packed", "float-8") else [oracles.weights]
        for reader in read:
            assert reader(folder, bench.made) == ""
        bench.made.unlink()
