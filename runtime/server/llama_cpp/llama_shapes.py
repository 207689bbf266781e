"""Parts that llama.cpp's endpoints have in common: their errors, and which model is meant."""

from __future__ import annotations

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, Kind
from halfbyte.server.served_model import ServedModel

_TYPES: dict[Kind, str] = {
    "authentication": "authentication_error", "permission": "permission_error",
    "not_found": "not_found_error", "not_supported": "not_supported_error",
    "context_length": "exceed_context_size_error", "rate_limit": "unavailable_error",
    "overloaded": "unavailable_error", "timeout": "unavailable_error", "internal": "server_error",
}  # fmt: skip


def llama_error(fault: Fault) -> object:
    """A fault as llama.cpp's clients read it."""
    kind = _TYPES.get(fault.kind, "invalid_request_error")
    error = {"code": fault.status, "message": fault.message, "type": kind}
    return {"error": error | dict(fault.details)}


async def model_of(exchange: Exchange, name: str | None) -> ServedModel:
    """The model of that name; where one is served alone, it has every name, as in llama.cpp."""
    return await exchange.model(_meant(exchange, name))


async def loaded_model_of(exchange: Exchange, name: str | None) -> tuple[str, ServedModel | None]:
    """The name of the model that is meant, and it where it is loaded or on its way: whoever only
    looks has nothing loaded.

    Raises:
        Fault: there is none of that name.
    """
    known = exchange.shelf.known(_meant(exchange, name) or exchange.shelf.names[0])
    return known, await exchange.model(known) if exchange.shelf.is_here(known) else None


def _meant(exchange: Exchange, name: str | None) -> str | None:
    return None if len(set(exchange.shelf.sources.values())) == 1 else name
