"""The vocabulary that kernels are written in: vectors, register tiles, atomics, as LLVM."""
