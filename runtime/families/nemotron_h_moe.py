"""Nemotron-H with experts, which GGUF calls by another name: Nemotron 3 Nano (nemotron_h.py)."""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families import nemotron_h

FAMILY = replace(nemotron_h.FAMILY, architecture=nemotron_h.WITH_EXPERTS, defaults={})
