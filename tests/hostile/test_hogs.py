"""Six hostile sessions that use up everything that a session can have do not stop a seventh of the same user."""

import json

import pytest
from users import start, users, workplace


@pytest.mark.serial
@pytest.mark.parametrize("user", users())
def test_six_sessions_cannot_stop_a_seventh(user):
    with workplace() as folder:
        runner = start(user, folder, folder / "home", "hogs.py", ["confined"])
        out, errors = runner.communicate(timeout=240)
    assert out, errors[-2000:]
    reports, ended, seconds, output, error = json.loads(out)
    assert not ended and len(reports) == 6, f"a hostile cell ended early: {ended}"
    # The descriptors and the blocks of memory that each of them holds are bounded.
    assert all(100 < held < 300 and refused == ["epoll", "descriptors in flight"] for held, refused in reports)
    assert (output, error) == ("its context\n", None)
    assert seconds < 20
