"""A runner whose sessions may start no further process for a while, for the test of what becomes of them."""

import asyncio
import os
import resource

from arena import own_tree

from rlm.repl import open_repl
from rlm.repl.protocol import ReplError


def allow(processes: int | None) -> None:
    """How many processes the user of all below this process may have; None: as many as there may ever be."""
    for pid in own_tree() - {os.getpid()}:
        most = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
        resource.prlimit(pid, resource.RLIMIT_NPROC, (most if processes is None else processes, most))


async def main() -> None:
    """Print what the second session is refused for, and what the first and a third one say after that."""
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
