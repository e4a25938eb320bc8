"""If no process can be created, one session is refused with the true reason, and the others continue."""

from users import start, workplace


def test_a_session_that_cannot_be_started_costs_no_other_one():
    with workplace() as folder:
        # Root's processes are not limited.
        runner = start("ordinary", folder, folder / "home", "crowded.py", [])
        out, errors = runner.communicate(timeout=120)
    assert out.splitlines()[1:] == ["7", "'third'"], out + errors
    assert "no process could be made" in out.splitlines()[0]
