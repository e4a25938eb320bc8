"""However a runner ends, its sessions leave no process, no scratch folder and no shared memory."""

import signal
import time
from pathlib import Path

import pytest
from arena import own_tree
from users import start, users, workplace

# Sessions of other tests would count as left.
pytestmark = pytest.mark.serial

ENDINGS = {"normally": None, "open": None, "error": None, "interrupt": signal.SIGINT, "kill": signal.SIGKILL}


@pytest.fixture(scope="module")
def folder():
    with workplace() as folder:
        yield folder


@pytest.mark.parametrize("user", users())
@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left(folder, user, ending):
    home = folder / f"{user}-{ending}"
    before = things(home)
    runner = start(user, folder, home, "runner.py", [ending])
    try:
        if ENDINGS[ending] is not None:
            assert runner.stdout.readline() == "working\n", runner.stderr.read()
            sessions = own_tree(runner.pid) - {runner.pid}
            assert len(sessions) >= 4
            runner.send_signal(ENDINGS[ending])
        else:
            sessions = set()
            while runner.poll() is None:
                sessions |= own_tree(runner.pid) - {runner.pid}
                time.sleep(0.01)
        runner.wait(30)
    finally:
        runner.kill()
        runner.communicate()
    assert sessions
    wait_until(lambda: not any(alive(pid) for pid in sessions))
    assert things(home) == before


def things(home: Path) -> dict[str, list[str]]:
    mounts = Path("/proc/mounts").read_text().splitlines()
    return {
        "temporary files": sorted(path.name for path in home.glob("*")),
        "shared memory": sorted(path.name for path in Path("/dev/shm").glob("*rlm*")),
        "mounts": sorted(line for line in mounts if line.startswith("scratch ")),
    }


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(holds) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.05)
