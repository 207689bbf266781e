"""What a thread knows of its own chunks, and how long it then waits for those of others."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from halfbyte.kernels.patience import (
    BEGAN,
    LEAST_SPINS,
    N_TAKEN,
    STAGE,
    begin_anew,
    begin_chunk,
    is_patient,
    patience,
)
from halfbyte.kernels.vectors import atomics
from halfbyte.kernels.vectors.atomics import pause, ticks
from halfbyte.kernels.vectors.emit import I64
from halfbyte.kernels.vectors.scalars import put_i64

Call = Callable[..., None]
STAGE_, BEGAN_, N_TAKEN_ = STAGE // 8, BEGAN // 8, N_TAKEN // 8


def take_some(line, stage, n, anew, now):
    """A thread takes n chunks; when that was over."""
    for _ in range(n):
        for _ in range(1000):
            pause()
        if anew:
            begin_anew(line, stage)
        else:
            begin_chunk(line, stage)
    put_i64(now, ticks())


def test_the_chunks_of_a_stage_are_counted_from_its_first(call: Call) -> None:
    line, now, after = np.full(8, -1), np.zeros(1, np.int64), np.zeros(1, np.int64)
    call(take_some, line, 7, 1, 0, now)
    call(take_some, line, 7, 2, 0, after)
    assert (line[STAGE_], line[N_TAKEN_]) == (7, 3)
    assert line[BEGAN_] <= now[0] < after[0]
    call(take_some, line, 8, 2, 0, now)
    assert (line[STAGE_], line[N_TAKEN_]) == (8, 2)
    assert after[0] < line[BEGAN_] <= now[0]


def test_those_that_others_may_make_are_counted_one_by_one(call: Call) -> None:
    line, now, after = np.full(8, -1), np.zeros(1, np.int64), np.zeros(1, np.int64)
    call(take_some, line, 7, 3, 0, now)
    call(take_some, line, 7, 2, 1, after)
    assert (line[STAGE_], line[N_TAKEN_]) == (7, 1)
    assert now[0] < line[BEGAN_] <= after[0]


def ask(line, stage, now, out):
    put_i64(out, patience(line, stage, now))


@pytest.mark.parametrize(
    ("stage", "now", "expected"),
    [
        (7, 1000 + 3 * 400, 500),  # a quarter more than 400
        (7, 1000 + 3 * (1 << 60), 5 << 58),
        (7, 1000, 0),
        (8, 5000, 0),  # none of this stage
        (-1, 5000, 0),
    ],
)
def test_another_gets_a_quarter_more_than_an_own_chunk_took(
    call: Call, stage: int, now: int, expected: int
) -> None:
    line, out = np.full(8, -1), np.zeros(1, np.int64)
    line[[STAGE_, BEGAN_, N_TAKEN_]] = 7, 1000, 3
    call(ask, line, stage, now, out)
    assert out[0] == expected


def test_a_clock_that_goes_back_takes_no_patience_away(call: Call) -> None:
    """As clocks of two cores may that do not agree."""
    line, out = np.full(8, -1), np.zeros(1, np.int64)
    line[[STAGE_, BEGAN_, N_TAKEN_]] = 7, 1000, 3
    call(ask, line, 7, 400, out)
    assert out[0] < 0
    call(wait, out[0], 0, out)
    assert out[0] == LEAST_SPINS


def wait(most, is_long_ago, out):
    """How often a thread spins."""
    since, spins = 0 if is_long_ago else ticks(), 0
    while is_patient(spins, since, most):
        spins += 1
    put_i64(out, spins)


def test_everybody_waits_a_little_and_nobody_for_ever(call: Call) -> None:
    out = np.zeros(1, np.int64)
    for most, is_long_ago in ((0, 0), (0, 1), (1000, 1)):
        call(wait, most, is_long_ago, out)
        assert out[0] == LEAST_SPINS
    call(wait, 1 << 62, 0, out)
    assert LEAST_SPINS < out[0] <= 100 * LEAST_SPINS


@pytest.mark.parametrize(
    ("triple", "machine", "instruction"),
    [
        ("x86_64-linux-gnu", "AMD64", "rdtsc"),
        ("aarch64-linux-gnu", "aarch64", "CNTVCT_EL0"),
        ("arm64-apple-macosx", "arm64", "CNTVCT_EL0"),
        ("riscv64-linux-gnu", "riscv64", None),  # whose kernel allows no program rdcycle
    ],
)
def test_clocks_that_programs_may_read(
    monkeypatch: pytest.MonkeyPatch, triple: str, machine: str, instruction: str | None
) -> None:
    monkeypatch.setattr(atomics.platform, "machine", lambda: machine)
    module = ir.Module("clock")
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(I64, []), "now")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(inspect.unwrap(ticks)(builder))
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    made = llvm.Target.from_triple(triple).create_target_machine()
    text = made.emit_assembly(llvm.parse_assembly(str(module)))
    words = {word.rstrip(",") for line in text.splitlines() for word in line.split()}
    assert words & {"rdtsc", "CNTVCT_EL0", "rdcycle"} == ({instruction} if instruction else set())
