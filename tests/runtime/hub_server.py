"""A model hub on 127.0.0.1: the part of the protocol that the hub's client uses for a download.

GET  /api/models/{org}/{name}[/revision/{rev}]   commit and files, with sizes and LFS hashes
HEAD /{org}/{name}/resolve/{rev}/{file}          X-Repo-Commit, ETag, X-Linked-Size
GET  the same                                    the bytes, or a range of them
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LFS_SUFFIXES = (".safetensors", ".gguf", ".bin", ".model")


@dataclass
class Repository:
    """Files and the commit; `served` are bytes to send in place of a file's own."""

    files: dict[str, bytes]
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    served: dict[str, bytes] = field(default_factory=dict)

    def info(self, name: str) -> dict[str, Any]:
        siblings = []
        for file, data in self.files.items():
            entry: dict[str, Any] = {
                "rfilename": file,
                "size": len(data),
                "blobId": hashlib.sha1(data).hexdigest(),
            }
            if file.endswith(LFS_SUFFIXES):
                digest = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        return {"id": name, "modelId": name, "sha": self.commit, "siblings": siblings}


@dataclass
class Hub:
    """The address, what it holds, what it was asked (method, path, range), with which tokens."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def fetched(self) -> list[str]:
        return [path.rsplit("/", 1)[1] for method, path, _ in self.requests
                if method == "GET" and "/resolve/" in path]  # fmt: skip


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub that runs until the block ends."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range") or ""))
        self.hub.tokens.append(self.headers.get("Authorization") or "")
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            repository = self.hub.repositories.get(found[1])
            if repository is not None:
                body = json.dumps(repository.info(found[1])).encode()
                self._send(200, body, {"Content-Type": "application/json"}, with_body)
                return
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository = self.hub.repositories.get(found[1])
            if repository is not None and found[3] in repository.files:
                self._send_file(repository, found[3], with_body)
                return
        self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)

    def _send_file(self, repository: Repository, name: str, with_body: bool) -> None:
        data = repository.files[name]
        body = repository.served.get(name, data)
        headers = {
            "X-Repo-Commit": repository.commit,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(body)),
            "Accept-Ranges": "bytes",
        }
        status = 200
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            begin = int(found[1])
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            body, status = body[begin:], 206
        self._send(status, body, headers, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
