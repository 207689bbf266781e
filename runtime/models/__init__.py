"""Models by name: the catalogue, and where their files come from."""

DEFAULT_MODEL, DEFAULT_INFILL_MODEL = "smollm2-135m", "infill-10m"
