"""The server as deployments of Ray Serve: an HTTP ingress, and replicas that hold the models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

import halfbyte
from halfbyte.ray.prefix_router import PrefixRouter
from halfbyte.ray.prefixes import digests, prompt_text
from halfbyte.server.app import make_app, protocol_of
from halfbyte.server.body import ClientGone, read_body
from halfbyte.server.body_room import TOGETHER, BodyRoom
from halfbyte.server.endpoint import refusal
from halfbyte.server.fault import Fault
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

_SCOPE = ("type", "http_version", "method", "path", "raw_path", "query_string", "headers", "scheme")


class Engine:
    """A replica: the application, in a process with models of its own."""

    def __init__(
        self, models: Mapping[str, str], settings: ServerSettings, load_options: Mapping[str, Any]
    ) -> None:
        self._app = make_app(Shelf(models, partial(halfbyte.load, **load_options)), settings)

    async def __call__(
        self, scope: dict[str, Any], body: bytes, *, prefix: list[bytes]
    ) -> AsyncIterator[list[Message]]:
        """Answer a request: ASGI messages, those that wait at a time.

        `prefix` is for the router. Whoever ends the iteration gives the answer up.
        """
        sent: asyncio.Queue[Message | None] = asyncio.Queue()
        received = iter([{"type": "http.request", "body": body, "more_body": False}])
        gone = asyncio.Event()

        async def receive() -> Message:
            for message in received:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            try:
                await self._app({**scope, "app": self._app}, receive, sent.put)
            finally:
                await sent.put(None)

        task = asyncio.ensure_future(work())
        try:
            while (message := await sent.get()) is not None:
                batch = [message]
                while not sent.empty():
                    more = sent.get_nowait()
                    if more is None:
                        sent.put_nowait(None)  # for the loop around this one
                        break
                    batch.append(more)
                yield batch
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@serve.ingress()
class Ingress:
    """What listens: passes requests to the replica that remembers most of their prompt."""

    def __init__(self, engine: DeploymentHandle, max_body: int) -> None:
        self._engine, self._max_body = engine.options(stream=True), max_body
        self._bodies = BodyRoom(TOGETHER * max_body)

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Mount("/", app=self._forward)])

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope.get("client")
        try:
            with self._bodies.of(address[0] if address else "local") as keep:
                body = await read_body(receive, self._max_body, keep)
                await self._pass_on(scope, body, send)
        except ClientGone:
            return
        except Fault as fault:
            await refusal(protocol_of(scope["path"]), fault).send(send, {})

    async def _pass_on(self, scope: Scope, body: bytes, send: Send) -> None:
        told = {name: scope[name] for name in _SCOPE if name in scope}
        told["headers"] = list(scope["headers"])
        told["client"] = tuple(scope.get("client") or ("unknown", 0))
        answer = self._engine.remote(told, body, prefix=digests(prompt_text(body)))
        async for batch in answer:
            for message in batch:
                await send(message)


def build(
    models: Mapping[str, str],
    *,
    n_replicas: tuple[int, int] = (1, 4),
    n_ongoing: int = 4,
    cpus: float = 2,
    settings: ServerSettings | None = None,
    **load_options: Any,
) -> Application:
    """The application for `serve.run`.

    Args:
        models: what to load for each name, as `halfbyte serve -m NAME=MODEL`.
        n_replicas: fewest and most replicas; Ray adds one where more than `n_ongoing` requests a
            replica are on their way, and takes one away where fewer are.
        n_ongoing: see there.
        cpus: processors that Ray sets aside for a replica; its threads, unless `threads` is given.
        settings: limits of the server.
        **load_options: of `halfbyte.load`.
    """
    settings = settings or ServerSettings()
    load_options.setdefault("threads", max(int(cpus), 1))
    fewest, most = n_replicas
    engine = serve.deployment(
        Engine,
        name="Engine",
        ray_actor_options={"num_cpus": cpus},
        max_ongoing_requests=settings.n_places + settings.n_waiting,
        autoscaling_config={
            "min_replicas": fewest, "max_replicas": most, "target_ongoing_requests": n_ongoing,
        },
        request_router_config=RequestRouterConfig(request_router_class=PrefixRouter),
    ).bind(dict(models), settings, load_options)  # fmt: skip
    ingress = serve.deployment(
        Ingress, name="Ingress", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=10_000
    )
    return ingress.bind(engine, settings.max_body)


def deploy(models: Mapping[str, str], *, name: str = "halfbyte", **how: Any) -> DeploymentHandle:
    """Serve models on the cluster that this process is connected to; see `build`.

    Raises:
        HalfbyteError: a replica could not load them, wrapped in Ray's own error.
    """
    return serve.run(build(models, **how), name=name)
