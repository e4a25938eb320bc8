"""Serves a report on the loopback interface."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from benchmarks.config.errors import ConfigError
from benchmarks.running.run_folder import file_inside, newer_than_journal

HOST = "127.0.0.1"
PAGE_NAME = "report.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}


def find_page(path: Path) -> Path:
    """Find the page at a path: a run folder, a report folder or the page. It is built if missing or out of date.

    Raises ConfigError for any other path.
    """
    if path.is_file():
        if path.suffix != ".html":
            raise ConfigError(f"{path} is not a page: expected a run folder, a report folder or {PAGE_NAME}")
        return path
    found = next((page for page in (path / PAGE_NAME, path / "report" / PAGE_NAME) if page.is_file()), None)
    if found is None or not newer_than_journal(found, path):
        from benchmarks.report import write_report
        from benchmarks.report.runs import refresh

        refresh(path)
        found = write_report([path], path / "report").page
    if found is None:
        raise ConfigError(f"{path} has no {PAGE_NAME}: `rlm-eval report {path}` writes it")
    return found


def bind(page: Path, port: int = 0) -> ThreadingHTTPServer:
    """Bind a server of the page's folder to 127.0.0.1; port 0 takes a free port. Raises ConfigError."""
    folder = page.resolve().parent
    handler = type("Handler", (_Handler,), {"folder": folder, "page": page.name})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}") from error


def address(server: ThreadingHTTPServer) -> str:
    return f"http://{HOST}:{server.server_address[1]}/"


def serve(path: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the report at `path` until KeyboardInterrupt; calls `ready` with the address. Raises ConfigError."""
    with bind(find_page(path), port) as server:
        ready(address(server))
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    """Serves the files of one folder to requests for this host, without listings."""

    folder: Path
    page: str
    server_version = "rlm-eval"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # Refuse pages of other origins whose host name resolves to 127.0.0.1 (DNS rebinding).
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        file = self._file() if host in (HOST, "localhost") else None
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND if host in (HOST, "localhost") else HTTPStatus.FORBIDDEN)
            return
        content = file.read_bytes()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _file(self) -> Path | None:
        return file_inside(self.folder, unquote(urlsplit(self.path).path).lstrip("/") or self.page)

    def log_message(self, format: str, *arguments: object) -> None:
        """Do not log requests."""
