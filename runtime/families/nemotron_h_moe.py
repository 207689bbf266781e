"""Nemotron 3 Nano: Nemotron-H with experts, which GGUF alone calls by another name.

Source: arXiv:2512.20848; all of it stands in nemotron_h.py.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families import nemotron_h

FAMILY = replace(nemotron_h.FAMILY, architecture=nemotron_h.WITH_EXPERTS, defaults={})
