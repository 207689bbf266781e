"""One mutant converted: what a user would do with the folder, and what may come of it."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import halfbyte
from halfbyte.verification import verify
from tests.mutants import document
from tests.mutants.inputs import oracles
from tests.mutants.inputs.mutations import Mutant, mutant
from tests.mutants.inputs.originals import QUANTIZED
from tests.mutants.trial import TEXT, Outcome

REFUSED, CONVERTED = "refused", "converted"
TYPES = ("f32", "f32", "f16", "q8_0", "q4_0", "keep")
_NOT_FINITE = "the model's logits are not finite"
_OF_THE_SOURCE = (b"halfbyte.source.sha256",)


@dataclass(frozen=True)
class Options:
    """How a mutant is converted; drawn from its number."""

    type: str
    measure: bool

    @classmethod
    def of(cls, kind: str, number: int) -> Options:
        """Those of a mutant."""
        random = Random(f"options {kind} {number}")
        types = TYPES[:-1] if kind == "imatrix" else TYPES
        return cls(random.choice(types), random.random() < 0.3)


class Bench:
    """Copies of the originals in a folder of its own, in which mutants are tried one by one."""

    def __init__(self, originals: Path, place: Path) -> None:
        self.originals, self.sources, self.out = originals, place / "sources", place / "out"
        shutil.copytree(originals, self.sources)
        self.out.mkdir()
        self._expected: dict[tuple[str, str, Options], dict[bytes, Any] | None] = {}

    def compile(self) -> None:
        """Have compiled what all mutants need."""
        for type_name in dict.fromkeys(TYPES):
            halfbyte.convert(self.sources / "llama", self.made, type=type_name, threads=1)
            verify(self.made, threads=1)
            self.made.unlink()

    @cached_property
    def made(self) -> Path:
        """The file that conversions make."""
        return self.out / "made.gguf"

    def attempt(self, kind: str, number: int) -> tuple[Mutant, Outcome]:
        """Convert a mutant, and use what came of it."""
        one = mutant(kind, number, self.originals)
        options = Options.of(kind, number)
        expected = self._facts(one, kind, options) if one.is_same else None
        matrix = self.sources / "imatrix" / one.file if kind == "imatrix" else None
        path = self.sources / one.original / one.file if matrix is None else matrix
        original = path.read_bytes()
        path.write_bytes(one.data)
        try:
            outcome = self._convert(one, kind, options, matrix)
            if expected is not None and not outcome.fault:
                if outcome.kind == REFUSED:
                    fault = f"refused, though it means the same: {outcome.error}"
                    outcome = Outcome(REFUSED, outcome.error, fault)
                elif (found := self._read()) != expected:
                    fault = f"another file, though it means the same: {_first(found, expected)}"
                    outcome = Outcome(CONVERTED, "", fault)
        finally:
            path.write_bytes(original)
            for left in self.out.iterdir():
                left.unlink()
        return one, outcome

    def _convert(self, one: Mutant, kind: str, options: Options, matrix: Path | None) -> Outcome:
        source = self.sources / one.original
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                halfbyte.convert(
                    source, self.made, type=options.type, measure=options.measure, threads=1,
                    imatrix=matrix,
                )  # fmt: skip
        except halfbyte.HalfbyteError as error:
            left = [path.name for path in self.out.iterdir()]
            fault = f"{left} is left of a conversion that failed" if left else ""
            if len(str(error)) > 8_000:
                fault = f"an error of {len(str(error))} characters"
            return Outcome(REFUSED, f"{type(error).__name__}: {error}"[:300], fault)
        except BaseException as error:  # the very thing that is looked for
            return Outcome(REFUSED, "", f"{type(error).__name__}: {error}"[:500])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                fault = self._use(kind, options, source, matrix)
        except BaseException as error:  # what was converted has to work, too
            fault = f"the converted file: {type(error).__name__}: {error}"[:500]
        return Outcome(CONVERTED, "", fault)

    def _use(self, kind: str, options: Options, source: Path, matrix: Path | None) -> str:
        """Verify, load and compute; what is wrong with it, or ""."""
        names = [path.name for path in self.out.iterdir()]
        if names != [self.made.name]:
            return f"other files: {names}"
        for check in verify(self.made, threads=1):
            if check.is_same is False and _NOT_FINITE in check.detail:
                return ""  # weights of a size that no model has, taken as they are
            if check.is_same is False:
                return f"it does not verify: {check.name}: {check.detail}"
        with halfbyte.load(self.made, threads=1) as model:
            model.complete(TEXT, max_tokens=3, heal=False)
            ids = model.tokenizer.encode(TEXT)
            if ids and not np.isfinite(model.logits(ids[: model.config.n_ctx_train])).all():
                return "logits that are not finite"
        if matrix is not None:
            return oracles.importance(matrix) if matrix.suffix == ".dat" else ""
        if kind == "safetensors" and (options.type != "f32" or source.name in QUANTIZED):
            return ""
        return oracles.READ_BY_OTHERS[kind](source, self.made)

    def _read(self) -> dict[bytes, Any]:
        """All that the file says, but what it says of its source's bytes."""
        doc = document.parse(self.made.read_bytes())
        facts: dict[bytes, Any] = {
            e.key: repr(e.value) for e in doc.entries if e.key not in _OF_THE_SOURCE
        }
        return facts | {tensor.name: tensor.data for tensor in doc.tensors}

    def _facts(self, one: Mutant, kind: str, options: Options) -> dict[bytes, Any] | None:
        """What the original gives; None where it is refused."""
        key = (one.original, one.file if kind == "imatrix" else "", options)
        if key not in self._expected:
            matrix = self.sources / "imatrix" / one.file if kind == "imatrix" else None
            self._expected[key] = None
            with contextlib.suppress(halfbyte.HalfbyteError):  # as FP8 with type keep
                halfbyte.convert(
                    self.sources / one.original, self.made, type=options.type,
                    measure=options.measure, threads=1, imatrix=matrix,
                )  # fmt: skip
                self._expected[key] = self._read()
                self.made.unlink()
        return self._expected[key]


def _first(found: dict[bytes, Any], expected: dict[bytes, Any]) -> str:
    """The first fact that differs."""
    for name in sorted(found.keys() | expected.keys()):
        a, b = found.get(name), expected.get(name)
        if a != b:
            return f"{name!r}: {str(a)[:80]}, not {str(b)[:80]}"
    return ""
