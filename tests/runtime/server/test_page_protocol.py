"""The page's files, under a policy that lets nothing in from elsewhere."""

from __future__ import annotations

import re

import httpx
import pytest

import halfbyte
from halfbyte.server.page_protocol import PROTOCOL
from halfbyte.server.shelf import Shelf

FILES = [route.path for route in PROTOCOL.routes if route.path != "/status"]


@pytest.mark.parametrize("path", FILES)
def test_files_load_nothing_from_elsewhere(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"https?:|//[a-z]", re.sub(r"^\s*//.*$", "", answer.text, flags=re.M))


def test_the_page_has_nothing_inline(http: httpx.Client) -> None:
    text = http.get("/").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]* src=)", text)
    for name in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert name == "data:," or f"/{name}" in FILES


def test_scripts_import_each_other_alone(http: httpx.Client) -> None:
    for path in FILES:
        if path.endswith(".js"):
            for name in re.findall(r'from "\./([^"]*)"', http.get(path).text):
                assert f"/{name}" in FILES


def test_the_state_is_the_servers(http: httpx.Client, shelf: Shelf) -> None:
    model: halfbyte.Model = shelf.loaded()[0].model
    model.complete("def f(", max_tokens=2)
    state = http.get("/status").json()
    assert state["models"] == ["infill-10m"] and state["running"] == state["waiting"] == 0
    assert state["kv_bytes"] == model.engine.pages.nbytes > 0
