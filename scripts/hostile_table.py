"""Runs hostile cells, clients and files, each in a process of its own, and prints what they cost the host.

    .venv/bin/python scripts/hostile_table.py [ITEM...]

The table has the peak memory of the host's process, the longest time that its event loop (or, for a server, `/health`)
did not respond, the processor time that the host used meanwhile, the seconds, and the outcome. On a busy machine the
processor time shows whether the host itself was busy; the target is for the smaller of the two. Put another checkout's
root into PYTHONPATH to measure that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

MB = 1 << 20
LIMIT_S = 300
# The targets: memory in MB besides contexts and answers (see `held`), and silence in seconds.
TARGET_MB, TARGET_S = 600, 0.5


class Watch:
    """Measures the longest pause of the running event loop, and the most processor time of the process in a pause."""

    def __init__(self) -> None:
        self.longest = self.busiest = 0.0

    async def run(self) -> None:
        while True:
            before, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - before - 0.005)
            self.busiest = max(self.busiest, time.process_time() - used)


def peak_mb(pid: int | str = "self") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def play(
    code: str, context: Any = "some context", kind: str = "RLM", window: int | None = None, **limits: Any
) -> str:
    """Run one cell of an RLM; returns its output and the reason why the completion stopped."""
    import rlm
    from rlm.methods.rlm import RLM, RLMBm25
    from rlm.models.chat import ContextOverflow, Reply
    from rlm.models.scripted import ScriptedModel

    class TooLong(ScriptedModel):
        """Refuses every prompt. Unlike its base class, it does not keep them."""

        async def complete(self, *_: Any, **__: Any) -> Reply:
            raise ContextOverflow("the prompt is too long")

    root = ScriptedModel([f"```repl\n{code}\n```", "FINAL(done)"])
    sub = TooLong([], context_window=window)
    method = {"RLM": RLM, "RLMBm25": RLMBm25}[kind](model=root, sub_model=sub)
    result = await method.acompletion(context, "q", limits=rlm.Limits(**limits))
    shown = " ".join(f"{cell['stdout']} {cell['error'] or ''}" for cell in result.trajectory.of_kind("cell"))
    return f"{result.stop_reason}: answer of {len(result.answer or ''):,} characters; {' '.join(shown.split())[-150:]}"


async def batch() -> str:
    return await play("print(llm_query_batched(['a'] * 480_000))", max_sub_calls=0)


async def prompts(window: int | None, millions: int) -> str:
    code = (
        f"refused = 0\nfor i in range(40):\n    try: llm_query(chr(65 + i) * {millions}_000_000)\n"
        "    except Exception as e: refused += 1; last = e\nprint(refused, last)"
    )
    return await play(code, window=window, max_consecutive_errors=None)


async def answer() -> str:
    """A run whose one answer is 100 MB of NUL; the limit is raised, so that it is accepted."""
    from benchmarks.config.compose import compose
    from benchmarks.running import run as running
    from benchmarks.running.busy import Busy

    words = [
        "benchmark=[oolong]", "benchmark.oolong.lengths=[1024]", "limit=1", "method=[rlm]", "model=scripted",
        "model.script=script.jsonl", "run_dir=run", "method.rlm.protocol=final_tags",
    ]  # fmt: skip
    if "max_answer_bytes" in Path(running.__file__).parents[2].joinpath("conf/config.yaml").read_text():
        words.append(f"limits.max_answer_bytes={200 * MB}")
    Path("script.jsonl").write_text(json.dumps({"match": "", "reply": "```repl\nFINAL(chr(0) * 100_000_000)\n```"}))
    config = compose(words)
    with running.RunFolder(config.folder, config) as folder:
        outcome = await running._run(config, folder, {}, Busy())
    journal = sum(file.stat().st_size for file in Path("run/journal").iterdir())
    (row,) = [record.row for record in folder.records().values()]
    said = f"{outcome.state}, {row.status}; the row has {len(row.prediction or ''):,} characters of the answer"
    return f"{said}; the journal has {journal / MB:,.1f} MB"


async def reply(text: str, kind: str = "RLM") -> str:
    """Let a root write a reply."""
    from rlm.methods.codeact.loop import CodeAct
    from rlm.methods.rlm import RLM
    from rlm.models.scripted import ScriptedModel

    method = {"RLM": RLM, "CodeAct": CodeAct}[kind](model=ScriptedModel([text, "FINAL(done)\nANSWER: done"]))
    result = await method.acompletion(["a document"], "q")
    return f"{result.stop_reason}: {len(text):,} characters, {result.usage.cells} cells"


async def stream(body: bytes) -> str:
    """Read a stream of events as the client does."""
    from rlm.models.client.replies import read_response

    _, fault = await asyncio.to_thread(read_response, body, {"content-type": "text/event-stream"})
    return f"{len(body) / MB:,.0f} MB: {fault.kind if fault else 'a reply'}"


async def search() -> str:
    return await play("print(len(search('dog cat ' * 725_000)))", ["a dog", "a cat"] * 1000, "RLMBm25")


async def facts() -> str:
    return await play(
        "import os, sys\nprint(sys.orig_argv)\ntry: os.utime('/dev/null')\nexcept OSError as e: print(e.strerror)"
    )


async def hogs() -> str:
    script = Path(__file__).parents[1] / "tests" / "hostile" / "hogs.py"
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), "confined", stdout=subprocess.PIPE)
    peak = 0
    reading = asyncio.create_task(process.communicate())
    while not reading.done():
        with contextlib.suppress(OSError, IndexError, ValueError):
            peak = max(peak, peak_mb(process.pid))
        await asyncio.sleep(0.2)
    reports, _, seconds, output, _ = json.loads((await reading)[0])
    held = max(count for count, _ in reports)
    FOUND.update(peak=peak)
    return f"each holds at most {held} things; the seventh printed {output.strip()!r} after {seconds:.1f} s"


async def served(attack: Callable[[int], Awaitable[str]]) -> str:
    """Attack a server in a separate process. Its memory and its silence are reported instead of this process's."""
    Path("script.jsonl").write_text(json.dumps({"match": "", "reply": "yes"}))
    words = ["serve", "method=[base]", "model=scripted", "model.script=script.jsonl", "server.port=0"]
    with Path("server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cli", *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert server.stdout is not None
        line = await asyncio.to_thread(server.stdout.readline)
        port = int(line.rstrip().removesuffix("/v1").rpartition(":")[2])
        slowest = 0.0

        async def health() -> None:
            nonlocal slowest
            while True:
                slowest = max(slowest, await asyncio.to_thread(_health, port))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(health())
        said = await attack(port)
        await asyncio.sleep(0.5)
        watching.cancel()
        traces = Path("server.log").read_text(errors="replace").count("Traceback")
        FOUND.update(peak=peak_mb(server.pid), silence=slowest, busy=slowest)
        return f"{said}; {Path('server.log').stat().st_size / MB:.1f} MB of log, {traces} tracebacks"
    finally:
        server.kill()
        server.wait()


def _health(port: int) -> float:
    """Return the seconds that an answer takes."""
    before = time.perf_counter()
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/health")
        connection.getresponse().read()
        connection.close()
    return time.perf_counter() - before


async def half_headers(port: int) -> str:
    held: list[socket.socket] = []
    for _ in range(1100):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            held[-1].sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        await asyncio.sleep(0)
    await asyncio.sleep(3)
    return f"{len(held)} connections are held"


async def nested_body(port: int) -> str:
    return await posted(port, b'{"model": "base", "messages": [' + b"[]," * (40 * MB // 3) + b"[]]}")


async def wide_body(port: int, millions: int) -> str:
    text = b"x" * millions * 1_000_000 + "\U0001f600".encode()
    return await posted(port, b'{"model": "base/scripted", "messages": [{"role": "user", "content": "' + text + b'"}]}')


async def posted(port: int, body: bytes) -> str:
    def post() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            return f"status {connection.getresponse().status}"
        except OSError as error:
            return type(error).__name__

    return await asyncio.to_thread(post)


async def rows(name: str) -> str:
    """Read a file of questions as `benchmark.custom.source`."""
    from benchmarks.sources.hub import HubData, Source
    from benchmarks.sources.tables import TABLE_ENDINGS

    source, size = Source(name, HubData(name, ""), "benchmark.custom.source", TABLE_ENDINGS), Path(name).stat().st_size

    def read() -> str:
        number = 0
        try:
            for _ in source.placed_rows(["question", "context"]):
                number += 1
        except ValueError as error:
            return f"{size / 1024:,.1f} KB, row {number:,}: {error}"
        return f"{size / 1024:,.1f} KB, {number:,} rows were read"

    return await asyncio.to_thread(read)


def packed(*parts: tuple[bytes, int]) -> bytes:
    """Gzip parts that are repeated."""
    compressor = zlib.compressobj(9, wbits=31)
    made = [compressor.compress(part) for part, times in parts for _ in range(times)]
    return b"".join([*made, compressor.flush()])


def parquet(values: Callable[[Any], Any], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"context": values(pa)})
    pq.write_table(table, "made.parquet", compression="zstd", **options)
    return Path("made.parquet").read_bytes()


def false_size() -> bytes:
    """A value of 900 MB in a parquet file whose footer states two bytes."""
    import pyarrow.parquet as pq

    content = parquet(lambda pa: ["x" * 900 * MB], use_dictionary=False, write_statistics=False)
    size = pq.ParquetFile("made.parquet").metadata.row_group(0).column(0).total_uncompressed_size
    # The size as Thrift's compact protocol writes it, and a small one of the same length.
    stated = bytes((size << 1 >> 7 * place) & 127 | 128 for place in range(4)) + bytes([size << 1 >> 28])
    return content.replace(stated, b"\x84\x80\x80\x80\x00")


async def run_folder(name: str, content: bytes, length: int) -> str:
    """Load a run folder with a file that is filled up with zeros."""
    from benchmarks.report.runs import load_runs

    Path("run/journal").mkdir(parents=True)
    Path("run/run.json").write_text("{}")
    with Path("run", name).open("wb") as file:
        file.write(content)
        file.truncate(length)
    return f"{len(await asyncio.to_thread(lambda: load_runs([Path('run')]).samples))} rows"


async def sample_ids() -> str:
    from benchmarks.running.run_files import safe_name

    names = ["\u6f22" * 100, "half \ud800", "../../up", "/etc/passwd", "a\0b", "x" * 5000]
    for name in names:
        Path(f"{safe_name(name)}-0.jsonl.gz.new").write_text("")
    return f"{len(list(Path().glob('*.new')))} of {len(names)} files were written inside the folder"


async def removed_lock() -> str:
    from benchmarks.config.compose import compose
    from benchmarks.running.run_folder import RunFolder

    config = compose(["benchmark=[sniah]", "method=[oracle]", "run_dir=run"])
    with RunFolder(config.folder, config):
        Path("run/run.lock").unlink()
        try:
            with RunFolder(config.folder, config):
                return "a second process was let in"
        except Exception as error:
            return str(error)


async def echoed_key() -> str:
    from rlm.models.client.redaction import Redactor

    key = "sk-or-v1-0123456789abcdef"
    echoes = ["".join(f"\\u{ord(c):04x}" for c in key), "".join(f"%{ord(c):02x}" for c in key), key.encode().hex()]
    masked = sum("***" in Redactor([key])(f"no such key: {echo}") for echo in echoes)
    return f"{masked} of {len(echoes)} echoes were masked"


ROW = b'{"question": "q", "answer": "a", "context": "c"}\n'
# Files, made by another process, whose memory does not count.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "12 gz of newlines": ("t.jsonl.gz", lambda: packed((b"\n" * MB, 3000))),
    "12 gz, one long row": ("t.jsonl.gz", lambda: packed((b'{"question": "', 1), (b"x" * MB, 4000))),
    "12 gz of rows": ("t.jsonl.gz", lambda: packed((ROW * 20_000, 4000))),
    "12 gz of csv, one long cell": (
        "t.csv.gz",
        lambda: packed((b'question,context\n"', 1), ((b"x" * 99 + b"\n") * 10_000, 4000)),
    ),
    "12 parquet, one long value": ("t.parquet", lambda: parquet(lambda pa: ["x" * 300 * MB])),
    "12 parquet, a value repeated": (
        "t.parquet",
        lambda: parquet(
            lambda pa: pa.DictionaryArray.from_arrays(pa.array([0] * 900_000, pa.int32()), ["x" * 8 * MB]),
            dictionary_pagesize_limit=64 * MB,
        ),
    ),
    "12 parquet, a false size": ("t.parquet", false_size),
    "12 parquet, a list of structs": (
        "t.parquet",
        lambda: parquet(lambda pa: pa.array([[{"a": None, "b": None}] * 3_900_000])),
    ),
    "12 parquet, rows of nothing": ("t.parquet", lambda: parquet(lambda pa: pa.nulls(100_000_000, pa.string()))),
}
ITEMS: dict[str, Callable[[], Awaitable[str]]] = {
    "1 batch of 480,000": batch,
    "1 a prompt of 120 MB with an emoji": lambda: play("print(len(llm_query('x' * 120_000_000 + '\\U0001f600')))"),
    "1 2,000 cells in a reply": lambda: reply("```repl\nprint(1)\n```\n" * 2000),
    "1 2 MB of fences": lambda: reply("```\n" * 500_000),
    "1 2 MB of FINAL(": lambda: reply("FINAL(\n" * 280_000),
    "1 2 MB of SEARCH(": lambda: reply("SEARCH(\n" * 250_000, "CodeAct"),
    "1 4 MB of prose": lambda: reply("some prose that goes on and on\n" * 130_000),
    "1 code like attributes": lambda: reply("```repl " + "=".join(["aa"] * 60) + " if x else y\nprint(1)\n```"),
    "1 stream of 30 MB of empty lines": lambda: stream(b"data: {}\n" + b"\n" * 30_000_000),
    "1 stream of 60 MB of lists": lambda: stream(b'data: {"a": [' + b"[]," * 20_000_000 + b"[]]}\n\n"),
    "2 40 prompts of 50 MB": lambda: prompts(100_000, 50),
    "2 the same, window unknown": lambda: prompts(None, 50),
    "2 40 prompts of 20 MB that fit": lambda: prompts(2_000_000, 20),
    "3 FINAL of 100 MB of NUL in a run": answer,
    "3 FINAL of 20 million surrogates": lambda: play("FINAL('\\ud800' * 20_000_000)"),
    "4 six sessions hold all they can": hogs,
    "5 search of 5.8 MB": search,
    "6 orig_argv, utime": facts,
    "7 1,100 half-sent headers": lambda: served(half_headers),
    "8 40 MB of [],": lambda: served(nested_body),
    "8 100 MB with an emoji": lambda: served(lambda port: wide_body(port, 100)),
    "8 60 MB with an emoji, which fit": lambda: served(lambda port: wide_body(port, 60)),
    **{name: lambda name=name: rows(FILES[name][0]) for name in FILES},  # type: ignore[misc]
    "11 a journal line of 800 MB": lambda: run_folder("journal/a.jsonl", b"", 800 * MB),
    "11 run.json of 500 MB": lambda: run_folder("run.json", b'{"name": "', 500 * MB),
    "11 run.json of 40 MB of [],": lambda: run_folder("run.json", b'{"name": [' + b"[]," * (40 * MB // 3), 40 * MB),
    "13 sample ids": sample_ids,
    "15 a key echoed in escapes": echoed_key,
    "16 run.lock removed": removed_lock,
}
# Values that replace those of this process.
FOUND: dict[str, float] = {}


async def measured(name: str) -> dict[str, Any]:
    # The first session and the first search import libraries.
    await play("print(1)")
    await play("print(search('dog'))", ["a dog", "a cat"], "RLMBm25")
    watch, started = Watch(), time.perf_counter()
    watching = asyncio.create_task(watch.run())
    try:
        outcome = await ITEMS[name]()
    except Exception as error:
        outcome = f"raised {type(error).__name__}: {error}"
    watching.cancel()
    return (
        {"peak": peak_mb(), "silence": watch.longest, "busy": watch.busiest}
        | FOUND
        | {
            "seconds": time.perf_counter() - started,
            "outcome": " ".join(outcome.split())[:260],
        }
    )


def main(names: list[str]) -> None:
    """Print a row for each item."""
    print("| item | host MB | loop silent, s | of it busy, s | seconds | outcome |\n|---|---|---|---|---|---|")
    for name in names or ITEMS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(Path(__file__).resolve()), "--one", name]
            try:
                if name in FILES:
                    subprocess.run([*command[:2], "--make", name], cwd=folder, check=True)
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, errors="replace"
                )
            except subprocess.TimeoutExpired:
                print(f"| {name} | | | | over {LIMIT_S} | not finished |", flush=True)
                continue
        if done.returncode:
            print(f"| {name} | | | | | ended with {done.returncode}: {done.stderr.strip()[-200:]!r} |", flush=True)
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        missed = row["peak"] > TARGET_MB or min(row["silence"], row["busy"]) > TARGET_S or "Traceback" in done.stderr
        print(
            f"| {name} | {row['peak']:,} | {row['silence']:.2f} | {row['busy']:.2f} | {row['seconds']:.1f} | "
            f"{'**missed**: ' if missed else ''}{row['outcome'].replace('|', '/')} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        os.environ.setdefault("HYDRA_FULL_ERROR", "0")
        print(json.dumps(asyncio.run(measured(sys.argv[2]))))
    elif sys.argv[1:2] == ["--make"]:
        file, make = FILES[sys.argv[2]]
        Path(file).write_bytes(make())
    else:
        main(sys.argv[1:])
