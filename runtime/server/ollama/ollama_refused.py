"""What Ollama does with its store of models: a server of given models has none."""

from __future__ import annotations

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.protocol import Handler, Route
from halfbyte.server.reply import Reply

_SERVE = "halfbyte serve -m NAME=MODEL serves it"
_INSTEAD = {
    ("POST", "/api/pull"): f"`halfbyte pull MODEL` fetches a model, {_SERVE}",
    ("POST", "/api/push"): "models are not published from here",
    ("POST", "/api/create"): f"`halfbyte convert` makes a model file, {_SERVE}",
    ("POST", "/api/copy"): "-m OTHER_NAME=MODEL serves a model under another name",
    ("DELETE", "/api/delete"): "`halfbyte rm MODEL` deletes a model's file",
    ("POST", "/api/blobs/{digest}"): f"files are not taken over the network: {_SERVE}",
    ("HEAD", "/api/blobs/{digest}"): f"files are not taken over the network: {_SERVE}",
}


def _refusal(path: str, instead: str) -> Handler:
    async def refuse(exchange: Exchange, _: None) -> Reply:
        """Say what to do instead."""
        raise Fault("not_supported", f"{path} is not for this server: {instead}")

    return refuse


OLLAMA_REFUSED = tuple(
    Route(method, path, _refusal(path, instead)) for (method, path), instead in _INSTEAD.items()
)
