"""Where a server listens: its sockets, bound before anything else takes time."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from typing import Any

from halfbyte.errors import SettingError
from halfbyte.lazy_dataclass import dataclass

OLLAMA_PORT = 11434
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Listening:
    """Attributes:
    host: a name or an address.
    port: 0 for any that is free.
    unix_socket: the path of a socket to listen on instead of host and port.
    ollama: whether to listen on Ollama's port too.
    tls_cert, tls_key: paths of PEM files; None: no TLS.
    is_insecure: whether anybody who reaches the host may ask.
    """

    host: str = "127.0.0.1"
    port: int = 8012
    unix_socket: str | None = None
    ollama: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    is_insecure: bool = False

    def check(self, *, has_keys: bool) -> None:
        """SettingError where others could use the machine without a key."""
        if self.tls_key is not None and self.tls_cert is None:
            raise SettingError("--tls-key", expected="--tls-cert beside it", got="none")
        if has_keys or self.is_insecure or (self.unix_socket is not None and not self.ollama):
            return
        for *_, address in _addresses(self.host, self.port):
            if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
                raise SettingError(
                    "--host", expected="this machine's loopback address, or keys", got=self.host,
                    hint="name a file of keys with --api-key-file, or say --insecure: everybody "
                    "who reaches that address may then use the model",
                )  # fmt: skip

    def url(self, sockets: list[socket.socket]) -> str:
        """Where clients find it."""
        if self.unix_socket is not None:
            return f"unix:{self.unix_socket}"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host and "[" not in host else host
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://{host}:{sockets[0].getsockname()[1]}"

    @contextlib.contextmanager
    def sockets(self) -> Iterator[list[socket.socket]]:
        """The sockets, bound and listening; closed at the end.

        Raises:
            SettingError: a port is in use, an address is not this machine's, or the like.
        """
        bound: list[socket.socket] = []
        try:
            if self.unix_socket is not None:
                bound.append(_unix(self.unix_socket))
            else:
                bound += _bound(self.host, self.port)
            if self.ollama and OLLAMA_PORT not in (s.getsockname()[1] for s in bound):
                bound += _bound(self.host, OLLAMA_PORT, "--ollama")
            yield bound
        finally:
            for one in bound:
                one.close()
            if self.unix_socket is not None and bound:
                with contextlib.suppress(OSError):
                    os.unlink(self.unix_socket)


def _bound(host: str, port: int, option: str = "--port") -> list[socket.socket]:
    """A socket for each address of a host, on one port."""
    made: list[socket.socket] = []
    try:
        for family, kind, _, address in _addresses(host, port):
            one = socket.socket(family, kind)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = port or (made[0].getsockname()[1] if len(made) > 1 else 0)
            one.bind((address[0], port, *address[2:]))
            one.listen(_BACKLOG)
    except OSError as error:
        for one in made:
            one.close()
        said = error.strerror or str(error)
        instead = "name another one" if option == "--port" else "end that one, it may be Ollama"
        raise SettingError(
            option, expected="a port that is free", got=f"{port} of {host}: {said}",
            hint=f"another program listens there, or it is another machine's: {instead}",
        ) from error  # fmt: skip
    return made


def _addresses(host: str, port: int) -> list[tuple[int, int, int, tuple[Any, ...]]]:
    """What a host is called by, one family after the other, those that this machine has."""
    bare = host.strip("[]")
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingError("--host", expected="a name or an address", got=host) from error
    all_kinds: dict[tuple[int, int, int, tuple[Any, ...]], None] = {
        (family, kind, protocol, address): None for family, kind, protocol, _, address in found
    }
    usable = [one for one in all_kinds if one[0] == socket.AF_INET or _has_ipv6()]
    return usable or list(all_kinds)


def _has_ipv6() -> bool:
    """Whether this machine has a loopback address of IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def _unix(path: str) -> socket.socket:
    """A socket in the file system, which only this user can open."""
    one = socket.socket(socket.AF_UNIX)
    try:
        _remove_left_over(path)
        before = os.umask(0o177)
        try:
            one.bind(path)
        finally:
            os.umask(before)
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        raise SettingError(
            "--unix-socket", expected="a path where nothing lies",
            got=f"{path}: {error.strerror or error}",
        ) from error  # fmt: skip
    return one


def _remove_left_over(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as other:
                try:
                    other.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
