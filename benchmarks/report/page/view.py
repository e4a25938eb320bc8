"""Serves pages of runs on the loopback interface."""

from __future__ import annotations

import contextlib
import io
import json
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from benchmarks.config.errors import ConfigError
from benchmarks.report.page.contexts import CONTEXTS
from benchmarks.report.page.site import Entry, Site
from benchmarks.running.run_files import file_inside
from rlm.reading import open_regular

HOST = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
# The page of a running run loads this script every few seconds and reloads itself when the script changes.
STAMP = "stamp.js"


def bind(site: Site, port: int = 0) -> ThreadingHTTPServer:
    """Bind a server of these pages to 127.0.0.1; port 0 takes a free port. Raises ConfigError."""
    handler = type("Handler", (_Handler,), {"site": site})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"--port is {port}, which cannot be used: {why}; --port 0 takes a free one") from error


def address(server: ThreadingHTTPServer) -> str:
    return f"http://{HOST}:{server.server_address[1]}/"


def serve(paths: Sequence[Path], port: int, ready: Callable[[str], None], reveal: frozenset[str] = frozenset()) -> None:
    """Serve these runs until KeyboardInterrupt; calls `ready` with the address. Raises ConfigError.

    reveal: protected benchmarks whose texts the pages show.
    """
    with tempfile.TemporaryDirectory(prefix="rlm-eval-view-") as scratch:
        site = Site.of(paths, Path(scratch), reveal)
        if not site.title:
            # A path that cannot be shown is reported before the address is printed.
            site.entries[0].page()
        with bind(site, port) as server:
            ready(address(server))
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    """Serves the pages of a site, and the files next to them, to requests for this host, without listings."""

    site: Site
    server_version = "rlm-eval"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # Refuse pages of other origins whose host name resolves to 127.0.0.1 (DNS rebinding).
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            found = self._found(unquote(urlsplit(self.path).path).lstrip("/"))
        except (ConfigError, OSError) as error:
            found = f"{error}\n".encode("utf-8", "replace"), _TYPES[".md"]
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content, kind = found
        with io.BytesIO(content) if isinstance(content, bytes) else open_regular(content) as file:
            self._send(file, kind, with_body=with_body)

    def _send(self, file: IO[bytes], kind: str, *, with_body: bool) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(file.seek(0, os.SEEK_END)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if with_body:
            file.seek(0)
            shutil.copyfileobj(file, self.wfile)

    def _found(self, path: str) -> tuple[bytes | Path, str] | None:
        """Return content, or the file with it, and its type; None if there is none. Raises ConfigError and OSError."""
        if not path and (index := self.site.index()) is not None:
            return index, _TYPES[".html"]
        entry, rest = self._entry(path)
        if entry is None:
            return None
        if rest == STAMP:
            return f"rlmStamp({json.dumps(entry.stamp())});\n".encode(), _TYPES[".js"]
        if (piece := re.fullmatch(rf"{CONTEXTS}/(.+)/(\d{{1,7}})\.js", rest)) and (
            script := entry.context(piece[1], int(piece[2]))
        ):
            return script, _TYPES[".js"]
        page = entry.page()
        # The page itself may be a link out of its folder.
        file = file_inside(page.parent, rest or page.name)
        if file is None:
            return None
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "text/plain"
        return file, kind

    def _entry(self, path: str) -> tuple[Entry | None, str]:
        """Return the entry that a path is below, and the rest of the path."""
        if not self.site.title:
            return self.site.entries[0], path
        found = re.fullmatch(r"(\d{1,6})/(.*)", path, re.DOTALL)
        if not found or int(found[1]) >= len(self.site.entries):
            return None, ""
        return self.site.entries[int(found[1])], found[2]

    def log_message(self, format: str, *arguments: object) -> None:
        """Do not log requests."""
