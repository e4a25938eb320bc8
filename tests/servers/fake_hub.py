"""A data-set hub on loopback: the routes of huggingface.co that our loader uses, with a log of what was asked for."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class FakeHub:
    """Data sets by (repo, revision), each a mapping of path to bytes.

    asked: (method, path) of every request. served: bytes of file bodies that were sent, by file path.
    """

    datasets: dict[tuple[str, str], dict[str, bytes]]
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        return self.datasets.get((repo, revision))


@contextmanager
def fake_hub(datasets: dict[tuple[str, str], dict[str, bytes]]) -> Iterator[FakeHub]:
    """Serve the data sets until the block ends; point HF_ENDPOINT at `url` before huggingface_hub is imported."""
    hub = FakeHub(datasets)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    # Otherwise each body waits 40 ms for the acknowledgement of its headers.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/([^/]+)", path):
            self._with_files(*found.groups(), lambda files: self._info(*found.groups(), files))
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path):
            repo, revision, folder = found.groups()
            self._with_files(repo, revision, lambda files: self._json(_tree(files, folder or "")))
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repo, revision, name = found.groups()
            self._with_files(repo, revision, lambda files: self._file(revision, name, files.get(name)))
        else:
            self._missing("EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            wanted = json.loads(body)["paths"]
            self._with_files(
                *found.groups(),
                lambda files: self._json([item for item in _tree(files, "", True) if item["path"] in wanted]),
            )
        else:
            self._missing("EntryNotFound")

    def log_message(self, *_: object) -> None:
        pass

    def _with_files(self, repo: str, revision: str, answer) -> None:
        files = self.hub.files(repo, revision)
        if files is not None:
            answer(files)
        elif any(known == repo for known, _ in self.hub.datasets):
            self._missing("RevisionNotFound")
        else:
            self._missing("RepoNotFound")

    def _info(self, repo: str, revision: str, files: dict[str, bytes]) -> None:
        siblings = [{"rfilename": name} for name in files]
        self._json({"_id": "0", "id": repo, "sha": revision, "private": False, "tags": [], "siblings": siblings})

    def _file(self, revision: str, name: str, content: bytes | None) -> None:
        if content is None:
            self._missing("EntryNotFound")
            return
        start, end, status = 0, len(content), 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end, status = int(found[1]), int(found[2] or len(content) - 1) + 1, 206
        body = content[start:end]
        self.send_response(status)
        self.send_header("ETag", f'"{_oid(content)}"')
        self.send_header("X-Repo-Commit", revision)
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.hub.served[name] = self.hub.served.get(name, 0) + len(body)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _tree(files: dict[str, bytes], folder: str, recursive: bool = True) -> list[dict]:
    items = [
        {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
        for name, content in files.items()
        if not folder or name.startswith(f"{folder}/")
    ]
    folders = {name.rpartition("/")[0] for name in files if "/" in name} - {folder}
    return items + [{"type": "directory", "path": name, "size": 0, "oid": "0"} for name in sorted(folders)]


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
