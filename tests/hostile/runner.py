"""A runner with two sessions, for the tests of leftovers. Its one argument is the way in which it ends."""

import asyncio
import sys

from rlm.repl import open_repl
from rlm.repl.protocol import ReplLimits


async def main(ending: str) -> None:
    """Open two sessions and end `normally`, by an `error`, or wait to be killed while a cell runs."""

    async def llm_query(prompt: str) -> str:
        await asyncio.sleep(3600)
        return prompt

    repls = [await open_repl("context", {"llm_query": llm_query}, limits=ReplLimits(grace_s=1)) for _ in range(2)]
    for repl in repls:
        await repl.run("open('/tmp/scratch', 'w').write('x' * 10**6)")
    if ending == "open":
        return
    if ending == "error":
        raise RuntimeError("the runner's own error")
    if ending == "normally":
        for repl in repls:
            await repl.aclose()
        return
    cells = [asyncio.create_task(repls[0].run("while True: pass")), asyncio.create_task(repls[1].run("llm_query('x')"))]
    await asyncio.sleep(0.2)
    print("working", flush=True)
    await asyncio.gather(*cells)


asyncio.run(main(sys.argv[1]))
