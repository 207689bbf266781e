"""Sockets: whose they are, and what is said where there are none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from halfbyte.errors import SettingError
from halfbyte.server import listening
from halfbyte.server.listening import Listening


def test_others_are_let_in_by_a_key_or_on_purpose_only() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "localhost"):
        Listening(host).check(has_keys=False)
    for host in ("0.0.0.0", ""):
        if host:
            for socket_path in (None, "/run/socket"):  # --ollama listens on the host then, too
                with pytest.raises(SettingError, match="--insecure"):
                    one = Listening(host, unix_socket=socket_path, ollama=bool(socket_path))
                    one.check(has_keys=False)
            Listening(host, unix_socket="/run/socket").check(has_keys=False)
    Listening("0.0.0.0").check(has_keys=True)
    Listening("0.0.0.0", is_insecure=True).check(has_keys=False)
    with pytest.raises(SettingError, match="--tls-cert"):
        Listening(tls_key="key").check(has_keys=True)


def test_a_host_of_two_kinds_has_one_port() -> None:
    with Listening("localhost", 0).sockets() as sockets:
        assert len({one.getsockname()[1] for one in sockets}) == 1
        url = Listening("localhost", 0).url(sockets)
        assert url == f"http://localhost:{sockets[0].getsockname()[1]}"
    assert sockets[0].fileno() == -1


def test_ollamas_port_is_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(listening, "OLLAMA_PORT", port)
    with Listening("127.0.0.1", 0, ollama=True).sockets() as sockets:
        assert [one.getsockname()[1] for one in sockets][1:] == [port]
        with (
            pytest.raises(SettingError, match="--ollama"),
            Listening(port=0, ollama=True).sockets(),
        ):
            pass


def test_what_cannot_be_listened_on() -> None:
    for host in ("no such host.invalid", "x" * 300):
        with pytest.raises(SettingError, match="--host"), Listening(host).sockets():
            pass


def test_a_socket_that_is_left_over_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Listening(unix_socket=str(path)).sockets():
        with pytest.raises(SettingError, match="nothing lies"):  # that one is alive
            with Listening(unix_socket=str(path)).sockets():
                pass
        assert path.exists()
    path.write_text("a file")
    with pytest.raises(SettingError), Listening(unix_socket=str(path)).sockets():
        pass
    assert path.read_text() == "a file"
