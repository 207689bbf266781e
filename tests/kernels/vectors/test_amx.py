"""AMX's instructions as LLVM writes them: few machines could run them."""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from halfbyte.kernels.vectors import amx
from halfbyte.kernels.vectors.emit import I64


def _assembly() -> str:
    module = ir.Module("tiles")
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64]), "work")
    b: Any = ir.IRBuilder(made.append_basic_block())
    amx.configure(b, [(16, 64)] * amx.N_TILES)
    amx.tile_call(b, "tilezero", 0)
    amx.tile_memory(b, "tileloadd64", 4, made.args[0], 64)
    amx.tile_memory(b, "tileloadd64", 6, made.args[0], 64)
    amx.tile_call(b, "tdpbf16ps", 0, 4, 6)
    amx.tile_call(b, "tdpbssd", 1, 4, 6)
    amx.tile_memory(b, "tilestored64", 0, made.args[0], 64)
    amx.tile_call(b, "tilerelease")
    b.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("x86_64-linux-gnu").create_target_machine(
        cpu="sapphirerapids", features="", opt=3
    )
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


def test_instructions_stay_in_their_order() -> None:
    found = re.findall(r"\t(ldtilecfg|tile[a-z]+|tdp\w+)(?:\t(.*))?\n", _assembly())
    assert [name for name, _ in found] == [
        "ldtilecfg", "tilezero", "tileloadd", "tileloadd", "tdpbf16ps", "tdpbssd", "tilestored",
        "tilerelease",
    ]  # fmt: skip
    # AT&T's order: the sums come last.
    assert dict(found)["tdpbf16ps"] == "%tmm6, %tmm4, %tmm0"


def test_a_configuration_is_what_the_manual_says() -> None:
    """Palette 1; bytes of a row from byte 16 on, in 16 bits each; rows from byte 48 on."""
    table = re.search(r'tile_shapes:\n\t\.asciz\t"(.*)"', _assembly())
    assert table is not None
    words = table[1].encode().decode("unicode_escape").encode("latin1")
    assert words + b"\0" == b"\1" + bytes(15) + b"\x40\0" * 8 + bytes(16) + b"\x10" * 8 + bytes(8)
