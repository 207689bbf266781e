"""A server from its sockets to its end: uvicorn, signals, the first model, the last answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from halfbyte.errors import SettingError
from halfbyte.server.app import make_app
from halfbyte.server.connection import Connection
from halfbyte.server.listening import Listening
from halfbyte.server.served_model import ServedModel
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

log = logging.getLogger(__name__)

GRACE_S = 5.0  # that answers on their way have to end in
_ENDING_S = 5.0  # and then what ends them has
_TICK_S = 1.0  # between two looks, which keep the Date header right
_KEEP_ALIVE_S = 75  # of a connection between two requests

Ready = Callable[[str, ServedModel], object]


def serve(
    shelf: Shelf,
    settings: ServerSettings,
    listening: Listening,
    on_ready: Ready = lambda url, model: None,
    grace_s: float = GRACE_S,
) -> None:
    """Serve until a signal ends it.

    Args:
        shelf: the models.
        settings: limits, and who may ask.
        listening: where.
        on_ready: called with the URL and the first model once that is loaded.
        grace_s: seconds that answers on their way have to end in.

    Raises:
        SettingError, RequestError: it cannot listen there; HalfbyteError: the first model cannot
            be loaded.
    """
    listening.check(has_keys=bool(settings.keys))
    _raise_file_limit()
    with listening.sockets() as sockets:
        app = make_app(shelf, settings)
        config = _config(app, listening, grace_s)
        asyncio.run(_serve(_Server(config, app, grace_s), shelf, listening, sockets, on_ready))


async def _serve(
    server: _Server,
    shelf: Shelf,
    listening: Listening,
    sockets: list[socket.socket],
    on_ready: Ready,
) -> None:
    url = listening.url(sockets)
    running = asyncio.ensure_future(server.serve(sockets))
    loading = asyncio.ensure_future(shelf.get(""))
    await asyncio.wait({running, loading}, return_when=asyncio.FIRST_COMPLETED)
    if loading.done():
        if loading.exception() is not None:
            server.end()
        else:
            on_ready(url, loading.result())
            _tell_service_manager(b"READY=1")
    await running
    if shelf.is_loading:  # in a thread that nothing ends and that holds nothing worth keeping
        sys.stderr.flush()
        os._exit(0)
    error = loading.exception() if loading.done() else None
    if error is not None:
        raise error


class _Server(uvicorn.Server):
    """uvicorn's, which ends as its users and theirs expect."""

    def __init__(self, config: uvicorn.Config, app: Starlette, grace_s: float) -> None:
        super().__init__(config)
        self._app, self._grace_s = app, grace_s
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more requests, and end when answers have."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """uvicorn's looks around ten times a second, which beside a slow model costs more than to
        send its tokens.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at the first signal, with exit code 0; leave at once at the second."""
        loop = asyncio.get_running_loop()
        signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
        try:
            for signum in signals:
                loop.add_signal_handler(signum, self._on_signal, signum)
        except (RuntimeError, ValueError, NotImplementedError):
            # In another thread signals are its owner's; on Windows Ctrl-C is a KeyboardInterrupt.
            signals = ()
        try:
            yield
        finally:
            for signum in signals:
                loop.remove_signal_handler(signum)

    def _on_signal(self, signum: int) -> None:
        if self.should_exit:
            log.warning("a second signal: leaving at once")
            sys.stderr.flush()
            os._exit(128 + signum)
        log.warning("ending: answers on their way have %g s", self._grace_s)
        self.end()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, let answers end, and end those that do not."""
        _tell_service_manager(b"STOPPING=1")
        self._app.state.gate.stop()
        ending = asyncio.ensure_future(self._end_answers())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_answers(self) -> None:
        await asyncio.sleep(self._grace_s)
        await self._app.state.shelf.close()  # every stream gets its protocol's error event


def _config(app: Starlette, listening: Listening, grace_s: float) -> uvicorn.Config:
    config = uvicorn.Config(
        app, http=Connection, ws="none", loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=math.ceil(grace_s + _ENDING_S),
        ssl_certfile=listening.tls_cert, ssl_keyfile=listening.tls_key,
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        if listening.tls_cert is None:
            raise
        raise SettingError(
            "--tls-cert", expected="a certificate and its key, in PEM",
            got=f"{listening.tls_cert}, {listening.tls_key}: {error}",
        ) from error  # fmt: skip
    return config


def _raise_file_limit() -> None:
    """Let as many connections be open as the system allows; shells mostly set a low limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell_service_manager(text: bytes) -> None:
    """Tell systemd, where it asks (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path or not hasattr(socket, "AF_UNIX"):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(address)
        one.sendall(text)
