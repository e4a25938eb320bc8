"""Six sessions that take all that they can get, all at once, and a seventh that must work; run as another user."""

import asyncio
import json
import sys
import time

from rlm.repl import open_repl
from rlm.repl.protocol import ReplLimits

LIMITS = ReplLimits(memory_bytes=128 << 20, scratch_bytes=16 << 20, processes=16, cell_s=120)
HOG = """
import os, select, socket, struct, threading, time
held, refused, threads = [], [], []
def fill(write, data=bytes(1 << 16)):
    try:
        while True: write(data)
    except OSError: pass
def pair():
    a, b = socket.socketpair()
    held.extend((a, b)); a.setblocking(False); b.setblocking(False)
    fill(a.send); fill(b.send)
def pipe():
    r, w = os.pipe()
    held.extend((r, w)); os.set_blocking(w, False)
    fill(lambda data: os.write(w, data))
def attempt(name, action):
    try: action()
    except OSError: refused.append(name)
attempt('epoll', lambda: held.append(select.epoll()))
attempt('descriptors in flight', lambda: socket.socketpair()[0].sendmsg(
    [b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', 0))]))
for make in (pair, pipe, lambda: held.append(os.eventfd(0)), lambda: held.append(os.dup(0))) * 3:
    try:
        for _ in range(30 if make is pair else 1000): make()
    except OSError: pass
try:
    for i in range(20_000): open(f'f{i}', 'w').close()
except OSError: pass
try:
    while True:
        threads.append(threading.Thread(target=time.sleep, args=(1000,), daemon=True)); threads[-1].start()
except RuntimeError: pass
try:
    while True: held.append(bytearray(1 << 20))
except MemoryError: held.pop()
report(len(held), refused)
time.sleep(1000)
"""


async def main() -> None:
    """Print the reports of the six, the seconds that the seventh took, and its output."""
    reports: list[tuple[int, list[str]]] = []
    full = asyncio.Event()

    async def report(count: int, refused: list[str]) -> None:
        reports.append((count, refused))
        if len(reports) == 6:
            full.set()

    hogs = [await open_repl("", {"report": report}, limits=LIMITS, confinement=sys.argv[1]) for _ in range(6)]
    cells = [asyncio.create_task(hog.run(HOG)) for hog in hogs]
    await asyncio.wait({asyncio.create_task(full.wait()), *cells}, return_when=asyncio.FIRST_COMPLETED, timeout=90)
    ended = [cell.result().error or cell.result().stdout for cell in cells if cell.done()]
    started = time.monotonic()
    seventh = await open_repl("its context", {}, confinement=sys.argv[1])
    work = (
        "import asyncio, os\nr, w = os.pipe()\nos.write(w, b'y' * 4096)\nprint(asyncio.run(asyncio.sleep(0, context)))"
    )
    result = await seventh.run(work)
    print(json.dumps([reports, ended, time.monotonic() - started, result.stdout, result.error]))
    for cell in cells:
        cell.cancel()
    await asyncio.gather(*cells, return_exceptions=True)
    await asyncio.gather(*(repl.aclose() for repl in (*hogs, seventh)))


asyncio.run(main())
