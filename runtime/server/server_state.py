"""What all requests to a server have in common."""

from __future__ import annotations

import asyncio

from halfbyte.server.gate import Gate
from halfbyte.server.metrics import Metrics
from halfbyte.server.mismatches import Mismatches
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf


class ServerState:
    """Attributes:
    shelf: the models.
    settings: limits, and who may ask.
    gate: whose turn it is.
    metrics: what is counted.
    mismatches: what is said of prompts whose beginnings change.
    reading: of who reads a large body's JSON.
    """

    def __init__(self, shelf: Shelf, settings: ServerSettings) -> None:
        self.shelf, self.settings = shelf, settings
        self.gate = Gate(settings.n_places, settings.n_waiting)
        self.metrics = Metrics(shelf, self.gate)
        self.mismatches = Mismatches(self.metrics)
        self.reading = asyncio.Lock()
