"""A runner that may start no further process for a while, for the test of its sessions."""

import asyncio
import os
import resource

from arena import own_tree

from rlm.repl import open_repl
from rlm.repl.protocol import ReplError


def allow(processes: int | None) -> None:
    """Set the number of processes for the user of all processes below this one; None is the hard limit."""
    for pid in own_tree() - {os.getpid()}:
        most = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
        resource.prlimit(pid, resource.RLIMIT_NPROC, (most if processes is None else processes, most))


async def main() -> None:
    """Print why the second session is refused, and then the outputs of the first and of a third one."""
    first = await open_repl("", {})
    await first.run("x = 7")
    allow(0)
    try:
        await open_repl("", {})
    except ReplError as error:
        print(error)
    print((await first.run("x")).stdout, end="")
    allow(None)
    third = await open_repl("", {})
    print((await third.run("'third'")).stdout, end="")
    for repl in (first, third):
        await repl.aclose()


asyncio.run(main())
