"""Bytes looked up in a table of 16: what codes of types with a codebook stand for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import I8, constant

# Instructions that look up bytes in 16 others, and how many at once.
SHUFFLE: dict[str, tuple[str, int]] = {
    "amx": ("llvm.x86.avx512.pshuf.b.512", 64),
    "avx512vnni": ("llvm.x86.avx512.pshuf.b.512", 64),
    "avxvnni": ("llvm.x86.avx2.pshuf.b", 32),
    "avx2": ("llvm.x86.avx2.pshuf.b", 32),
    "neon": ("llvm.aarch64.neon.tbl1.v16i8", 16),
}


def looked_up(b: Any, codes: Any, entries: tuple[int, ...]) -> Any:
    """The entry of each byte of a vector, a code from 0 to 15."""
    shuffle = SHUFFLE.get(target.current().name)
    if shuffle is None:
        return _selected(b, codes, entries)
    name, nbytes = shuffle
    n = codes.type.count // nbytes
    table = ir.Constant(ir.VectorType(I8, nbytes), list(entries) * (nbytes // len(entries)))
    parts = emit.split(b, codes, n) if n > 1 else [codes]
    return emit.join(b, [emit.call(b, name, table.type, table, part) for part in parts])


def _selected(b: Any, codes: Any, entries: tuple[int, ...]) -> Any:
    """The same by the codes' bits, where nothing moves bytes by numbers in a vector."""
    found = [constant(codes.type, entry) for entry in entries]
    for bit in range(len(entries).bit_length() - 1):
        masked = b.and_(codes, constant(codes.type, 1 << bit))
        is_set = b.icmp_unsigned("!=", masked, constant(codes.type, 0))
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [b.select(is_set, odd, even) for even, odd in pairs]
    return found[0]
