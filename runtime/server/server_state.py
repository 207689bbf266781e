"""What all requests to a server have in common."""

from __future__ import annotations

import asyncio

from halfbyte.server.body_room import TOGETHER, BodyRoom
from halfbyte.server.gate import Gate
from halfbyte.server.metrics import Metrics
from halfbyte.server.mismatches import Mismatches
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

_DESKS, _DESKS_EACH = 3, 2  # few: Python does one thing at a time, whatever the processors


class ServerState:
    """Attributes:
    shelf: the models.
    settings: limits, and who may ask.
    gate: whose turn it is to have the model compute.
    desk: whose it is to have texts and tokens made of one another.
    bodies: room for what requests bring.
    metrics: what is counted.
    mismatches: what is said of prompts whose beginnings change.
    reading: of who reads a large body's JSON.
    """

    def __init__(self, shelf: Shelf, settings: ServerSettings) -> None:
        self.shelf, self.settings = shelf, settings
        self.gate = Gate(settings.n_places, settings.n_waiting)
        self.desk = Gate(_DESKS, settings.n_waiting, _DESKS_EACH)
        self.bodies = BodyRoom(TOGETHER * settings.max_body)
        self.metrics = Metrics(shelf, self.gate)
        self.mismatches = Mismatches(self.metrics)
        self.reading = asyncio.Lock()
