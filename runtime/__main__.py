"""`python -m halfbyte`: the same as the command `halfbyte`."""

from __future__ import annotations

from halfbyte.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
