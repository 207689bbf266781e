"""What a cache folder knows of a prompt, brought into memory before the prompt begins."""

from __future__ import annotations

import logging
import time

from halfbyte.engine.memory import needed_for
from halfbyte.errors import EngineError
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import Request

log = logging.getLogger(__name__)

_READING_S = 0.02  # of every step


def is_loaded(request: Request, memory: PromptMemory) -> bool:
    """Whether all that the disk knows of it is in memory; works on that for a moment only."""
    end_s = time.perf_counter() + _READING_S
    try:
        with needed_for("reading what is known of a prompt"):
            while memory.load_next(request):
                if time.perf_counter() > end_s or request.is_cancelled:
                    return False
    except EngineError as error:
        log.warning("a prompt is computed that may be on disk: %s", error)
    return True
