"""A disk that is full and a folder that is not ours end in one clear line, and what was done is kept."""

import errno
import json
import textwrap
import time

import pytest

from benchmarks.config.errors import ConfigError
from benchmarks.running.journal import read_journal

WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=30",
    "method=[base]", "concurrency.samples=2", "run_dir=run",
]  # fmt: skip
# No file of the process may grow beyond this many bytes, which is how a full disk looks to whoever writes.
LIMITED = """
    import resource, sys
    from benchmarks.cli import main
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.exit(main(sys.argv[2:]))
"""
# Root may write everywhere; without CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2) file modes hold for it as for any
# user. The words of capget are the effective, permitted and inheritable sets.
AS_ANYONE = """
    import ctypes, os, sys
    from benchmarks.cli import main
    if os.getuid() == 0:
        libc, version, words = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(version, words) == 0
        words[0] &= ~(1 << 1 | 1 << 2)
        assert libc.capset(version, words) == 0
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def rlm_eval(forks):
    """Run a command as a user who may not write everywhere."""
    return lambda *words, environment=None: forks.run(textwrap.dedent(AS_ANYONE), *words, env=environment)


@pytest.fixture
def limited(forks):
    """Run a command whose files may grow to `room` bytes."""
    return lambda room, *words, environment: forks.run(textwrap.dedent(LIMITED), str(room), *words, env=environment)


def one_line(done):
    """The line in which a command ended; progress stands before it."""
    told = [line for line in done.stderr.splitlines() if line.startswith("rlm-eval: ")]
    assert len(told) == 1 and done.stderr.endswith(f"{told[0]}\n"), done.stderr
    assert "Traceback" not in done.stderr
    return told[0]


@pytest.mark.parametrize("room", [6_000, 20_000, 40_000])
def test_a_full_disk_keeps_what_was_done_and_the_run_goes_on_when_there_is_room(in_folder, server, go, limited, room):
    fake = server()
    done = limited(room, "run", *WORDS, environment=fake.environment)
    assert done.returncode in (1, 2)
    one_line(done)
    kept = len(read_journal(in_folder / "run" / "journal")) if (in_folder / "run").exists() else 0
    assert kept < 30

    assert go(fake, *WORDS).state == "finished"
    assert len(read_journal(in_folder / "run" / "journal")) == 30
    assert fake.paid().total() <= 30 + 2, "what was done, and what was stored, is not paid again"


def test_a_folder_of_somebody_else_is_refused_before_any_call(in_folder, server, rlm_eval):
    fake = server()
    (in_folder / "run").mkdir(mode=0o555)
    done = rlm_eval("run", *WORDS, environment=fake.environment)
    assert done.returncode == 2
    assert "run_dir run cannot be written: Permission denied" in one_line(done)
    assert fake.asked().total() == 0


def test_a_run_folder_that_became_read_only_can_still_be_reported_elsewhere(in_folder, server, go, rlm_eval):
    fake = server()
    assert go(fake, *WORDS, "limit=3").state == "finished"
    before = json.loads((in_folder / "run" / "run.json").read_text())
    for path in (in_folder / "run", *(in_folder / "run").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert rlm_eval("report", "run").returncode != 0
    done = rlm_eval("report", "run", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert (in_folder / "out" / "report.md").is_file()
    assert json.loads((in_folder / "run" / "run.json").read_text()) == before


def test_a_second_process_on_a_run_folder_is_refused(in_folder, server, begin):
    fake = server(["hang"] * 30)
    first = begin(fake, "run", *WORDS)
    while not fake.asked():
        assert first.poll() is None
        time.sleep(0.02)
    second = begin(fake, "run", *WORDS)
    _, told = second.communicate(timeout=60)
    assert second.returncode == 2
    assert told == "rlm-eval: run_dir run is in use by another process: wait for it or stop it\n"
    assert first.poll() is None


def test_a_file_system_without_locks_is_refused_before_any_call(in_folder, server, go, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    fake = server()
    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(ConfigError, match="run_dir run is on a file system without locks"):
        go(fake, *WORDS)
    assert fake.asked().total() == 0
