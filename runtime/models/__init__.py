"""Models by name: the catalogue, and where their files come from."""
