"""What is remembered is saved, restored and erased, and no path comes from a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PROMPT = "# A text that only these tests know.\n" * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slots") / "made"


@pytest.fixture(scope="module")
def client(shelf: Shelf, folder: Path) -> Iterator[httpx.Client]:
    with serving(shelf, ServerSettings(slot_save_path=folder)) as url:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as made:
            yield made


def _n_cached(client: httpx.Client, **more: Any) -> Any:
    asked = {"prompt": PROMPT, "n_predict": 1, "temperature": 0}
    return client.post("/completion", json=asked, **more).json()["timings"]["cache_n"]


def test_a_cache_is_saved_erased_and_restored(client: httpx.Client, folder: Path) -> None:
    assert client.post("/slots/0?action=erase").status_code == 200  # as curl sends it, no body
    assert _n_cached(client) == 0
    n = _n_cached(client)
    assert n > 20
    saved = client.post("/slots/0?action=save", json={"filename": "a.bin"}).json()
    assert list(saved) == ["id_slot", "filename", "n_saved", "n_written", "timings"]
    assert saved["n_saved"] > n and (folder / "a.bin").stat().st_size == saved["n_written"]
    erased = client.post("/slots/7?action=erase").json()
    assert erased == {"id_slot": 7, "n_erased": saved["n_saved"]}
    restored = client.post("/slots/1?action=restore", json={"filename": "a.bin"}).json()
    assert list(restored) == ["id_slot", "filename", "n_restored", "n_read", "timings"]
    assert (restored["n_restored"], restored["n_read"]) == (saved["n_saved"], saved["n_written"])
    assert _n_cached(client) == n


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "/etc/passwd", ".hidden", "a\\b", "a\0", "a\n", "é", "a" * 201,
     "%2e%2e", "~", None],
)  # fmt: skip
@pytest.mark.parametrize("action", ["save", "restore"])
def test_a_name_is_no_path(client: httpx.Client, folder: Path, action: str, name: Any) -> None:
    got = client.post(f"/slots/0?action={action}", json={"filename": name})
    assert got.status_code == 400
    assert got.json()["error"]["message"] == "Invalid filename"
    assert {path.name for path in folder.parent.rglob("*")} <= {"made", "a.bin"}


def test_what_is_not_there_is_not_restored(
    client: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    client.post("/slots/0?action=save", json={"filename": "outside.bin"})
    (folder / "outside.bin").rename(tmp_path / "outside.bin")  # nothing else is wrong with it
    (folder / "link").symlink_to(tmp_path / "outside.bin")
    (folder / "bad").write_bytes(b"no cache")
    for name in ("missing", "link", "bad"):
        got = client.post("/slots/0?action=restore", json={"filename": name})
        assert 400 <= got.status_code < 500 and str(folder) not in got.text
        assert got.json()["error"]["type"] == "invalid_request_error"
    (folder / "link").unlink()
    (folder / "bad").unlink()


def test_other_actions_and_servers_without_a_folder_refuse(
    client: httpx.Client, http: httpx.Client
) -> None:
    for path, message in (("/slots/0?action=x", "action"), ("/slots/0", "action"),
                          ("/slots/x?action=erase", "slot ID")):  # fmt: skip
        got = client.post(path, json={})
        assert got.status_code == 400 and got.json()["error"]["message"] == f"Invalid {message}"
    got = http.post("/slots/0?action=erase")
    assert got.status_code == 501 and got.json()["error"]["type"] == "not_supported_error"


def test_a_key_acts_on_its_own_alone(shelf: Shelf, tmp_path: Path) -> None:
    settings = ServerSettings(
        slot_save_path=tmp_path / "made", keys={"sk-of-alice": "alice", "sk-of-bob": ".."}
    )
    alice, bob = ({"headers": {"x-api-key": key}} for key in settings.keys)
    with serving(shelf, settings) as url, httpx.Client(base_url=url, trust_env=False) as client:

        def act(who: Any, action: str, name: str = "a.bin") -> Any:
            path = f"/slots/0?action={action}"
            return client.post(path, json={"filename": name}, timeout=60, **who).json()

        assert _n_cached(client, **alice) == 0 and _n_cached(client, **bob) == 0
        n = act(alice, "save")["n_saved"]
        assert act(bob, "save")["n_saved"] == n > 20  # and replaces nothing
        assert act(bob, "save", "b.bin")["n_saved"] == n
        assert act(bob, "erase")["n_erased"] == n
        assert act(bob, "erase")["n_erased"] == 0 and act(bob, "save", "b.bin")["n_saved"] == 0
        assert _n_cached(client, **alice) > 20  # which is still there
        assert act(alice, "restore", "b.bin")["error"]["message"].endswith("no file b.bin")
        own = tmp_path / "made"
        (own / "key-alice" / "a.bin").rename(own / "key-.." / "stolen.bin")
        assert "cannot be restored" in act(bob, "restore", "stolen.bin")["error"]["message"]
        assert act(bob, "restore")["n_restored"] == n and _n_cached(client, **bob) > 20
        assert {path.name for path in tmp_path.iterdir()} == {"made"}
        act(alice, "erase"), act(bob, "erase")
