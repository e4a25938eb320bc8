"""No attacking cell does damage, whoever runs it and whatever layers hold; without confinement some would."""

import json

import pytest
from attacks import ATTACKS, FILES, NETWORK, PROCESSES, PROTOCOL
from users import start, users, workplace

# Attacks that do harm only to what the arena made, tried without confinement to see that the arena would notice.
pytestmark = pytest.mark.long
BITING = (
    "opens the secret", "maps it", "opens it by the C library", "reads the host's environment", "lists the folder",
    "goes by its own root in proc", "writes to the journal", "truncates the journal", "deletes the journal",
    "changes its mode", "changes its times", "renames the folder", "makes a file beside it", "reads passwords",
    "connects over IPv4", "connects with asyncio", "sends a datagram", "connects to a unix socket",
    "connects to an abstract socket", "sends from half a pair", "listens", "kills the victim", "kills by descriptor",
    "kills by an owner's signal", "limits the victim", "slows the victim", "schedules the victim", "watches the folder",
    "starts a shell",
)  # fmt: skip
WITHOUT_NAMESPACES = FILES | NETWORK | PROCESSES | {name: PROTOCOL[name] for name in list(PROTOCOL)[:20]}
SETUPS = [
    (user, confinement, tuple(names))
    for user in users()
    for confinement, names in (("confined", ATTACKS), ("confined-without-namespaces", WITHOUT_NAMESPACES))
]
SETUPS.append(("ordinary", "unsafe", BITING))


@pytest.fixture(scope="module")
def arenas():
    """Every setup's arena, all at work at the same time; the value is a function that gives one's outcome."""
    with workplace() as folder:
        running, outcomes = {}, {}
        for user, confinement, names in SETUPS:
            home = folder / f"{user}-{confinement}"
            arguments = [str(home), confinement, str(folder / "project"), json.dumps(names)]
            running[user, confinement] = start(user, folder, home, "arena.py", arguments)

        def outcome(user: str, confinement: str) -> dict[str, str | None]:
            key = user, confinement
            if key not in outcomes:
                out, errors = running[key].communicate(timeout=300)
                outcomes[key] = json.loads(out) if out else {"": f"the arena ended: {errors[-2000:]}"}
            assert "" not in outcomes[key], outcomes[key][""]
            return outcomes[key]

        yield outcome
        for process in running.values():
            process.kill()
            process.communicate()


CONFINED = [(*setup[:2], name) for setup in SETUPS[:-1] for name in setup[2]]


@pytest.mark.parametrize(("user", "confinement", "attack"), CONFINED)
def test_does_no_damage(arenas, user, confinement, attack):
    assert arenas(user, confinement)[attack] is None


@pytest.mark.parametrize("attack", BITING)
def test_the_arena_notices_without_confinement(arenas, attack):
    assert arenas("ordinary", "unsafe")[attack] is not None
