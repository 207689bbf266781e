"""How kernels are compiled: for which instructions, by which passes, cached where."""
