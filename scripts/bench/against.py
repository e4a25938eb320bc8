"""Parts that are measured against the scripted endpoint, with peers: completion, batch, throughput, calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from scripts.bench.measure import US, US_UNSAFE, Bench, Row, has_deno, ours, peer, walls

_SANDBOXED = "cells confined, trajectory written"
NOTES = {
    US: _SANDBOXED,
    US_UNSAFE: "cells in a process of their own, not confined; trajectory written",
    "rlms": "cells in its own process, not confined; nothing written",
    "dspy": "LocalInterpreter: cells in a process of their own, not confined; nothing written",
    "dspy, Deno": "its default: cells in Pyodide; nothing written",
    "inspect-ai": "log written",
}


def completion(bench: Bench) -> Iterator[Row]:
    """One completion of three turns without latency, over 1 MB and 40 MB."""
    for size, most, rlms_ratio in bench.size([(1, 0.06, 8), (40, 0.2, 2.5)], [(1, 0.06, 8)]):
        times = bench.size(10 if size == 1 else 4, 1)
        job = {"chars": bench.size(size * 10**6, 10_000), "times": times}
        root, dspy = bench.url("three"), bench.url("dspy-three")
        contenders: dict[str, Callable[[], Any]] = {
            US: partial(ours, "completions", base_url=root, **job),
            US_UNSAFE: partial(ours, "completions", base_url=root, confinement="unsafe", **job),
        }
        if bench.peers:
            contenders["rlms"] = partial(peer, "rlms", base_url=root, **job)
            contenders["dspy"] = partial(peer, "dspy", base_url=dspy, interpreter="local", **job)
            if has_deno():
                contenders["dspy, Deno"] = partial(peer, "dspy", base_url=dspy, interpreter="deno", **job)
            else:
                bench.say("dspy's default interpreter is left out: there is no deno here, and it fetches a module")
        aims = {US: f"at most {most}", "rlms": f"at least {rlms_ratio} times ours", "dspy": "at least 1 times ours"}
        for who, measured in bench.in_turn(contenders).items():
            yield Row(f"{size} MB", who, "wall s", walls(measured), NOTES[who], 0.0, aims.get(who, ""))
            cpu = [1000 * one["cpu_s"] / times for one in measured]
            yield Row(f"{size} MB", who, "CPU ms a completion", cpu, NOTES[who])


def batch(bench: Bench) -> Iterator[Row]:
    """A completion of two turns that makes 100 or 1,000 sub-calls of 50 ms in one batch.

    The root's two calls have no latency of their own and count as two more rounds of 50 ms.
    """
    latency = 0.05
    for count, above in bench.size([(100, 0.1), (1000, 0.5)], [(20, 0.1)]):
        script = f"batch{count}"
        url, dspy = bench.url(script, 50), bench.url(f"dspy-{script}", 50)
        contenders: dict[str, tuple[int, Callable[[], Any]]] = {
            f"{US}, {places} at a time": (
                places,
                partial(ours, "completions", base_url=url, chars=10_000, times=1, concurrency=places, wire=places + 4),
            )
            for places in (16, 100)
        }
        if bench.peers:
            contenders["dspy"] = 8, partial(peer, "dspy", base_url=dspy, chars=10_000, times=1, interpreter="local")
            contenders["rlms"] = count, partial(peer, "rlms", base_url=url, chars=10_000, times=1)
        for who, measured in bench.in_turn({who: run for who, (_, run) in contenders.items()}).items():
            places = contenders[who][0]
            ideal = (math.ceil(count / places) + 2) * latency
            note = NOTES[who.split(",")[0]]
            aim = f"at most {above}" if who.startswith(US) else ""
            yield Row(f"{count} sub-calls", who, "wall s", walls(measured), note, ideal)
            yield Row(f"{count} sub-calls", who, "s above ideal", [w - ideal for w in walls(measured)], note, 0.0, aim)


def throughput(bench: Bench) -> Iterator[Row]:
    """Whole runs without latency: plan, calls, store, trajectories, scoring, journal and tables."""
    count = bench.size(1000, 20)
    cases: dict[str, dict[str, Callable[[], Any]]] = {
        "base, 1 call a sample": {
            US: partial(ours, 
                "whole_run", base_url=bench.url("base"), samples=count, method="base", concurrency=64
            ),
            "inspect-ai": partial(peer, 
                "inspect", base_url=bench.url("base"), samples=count, chars=2000, concurrency=64
            ),
        },
        "RLM, 4 calls a sample": {
            US: partial(ours, "whole_run", base_url=bench.url("four"), samples=count, method="rlm", concurrency=16),
            "rlms": partial(peer, "rlms", base_url=bench.url("four"), chars=2000, times=bench.size(20, 2)),
            "dspy": partial(peer, 
                "dspy", base_url=bench.url("dspy-four"), chars=2000, times=bench.size(50, 2), interpreter="local"
            ),
        },
    }  # fmt: skip
    for case, contenders in cases.items():
        kept = contenders if bench.peers else {US: contenders[US]}
        calls = 1 if case.startswith("base") else 4
        for who, measured in bench.in_turn(kept).items():
            done = [len(one["walls"]) if who in ("rlms", "dspy") else count for one in measured]
            seconds = [sum(one["walls"]) for one in measured]
            note = NOTES[who] + (", one sample after the other" if who in ("rlms", "dspy") else "")
            if who == US:
                note = "a whole run: calls stored, samples scored, journal, trajectories and tables written" + (
                    "" if calls == 1 else "; cells confined"
                )
            times = {"inspect-ai": "at least 3 times ours"}.get(who, "")
            yield Row(
                case, who, "ms a sample", [1000 * s / n for s, n in zip(seconds, done, strict=True)], note, 0, times
            )
            rate = [n / s for s, n in zip(seconds, done, strict=True)]
            yield Row(case, who, "samples a second", rate, note)
            cpu = [1000 * one["cpu_s"] / n / calls for one, n in zip(measured, done, strict=True)]
            yield Row(case, who, "CPU ms a call", cpu, note, 0.0, "at most 2.5" if who == US else "")


def calls(bench: Bench) -> Iterator[Row]:
    """Model calls of 200 ms, through client and store and in a whole run: wall time over the ideal."""
    rounds, latency = bench.size(20, 2), bench.size(0.2, 0.01)
    for concurrency, most in bench.size([(50, 1.05), (100, 1.1), (400, 1.3)], [(50, 1.05)]):
        job = {"base_url": bench.url("base", latency * 1000), "concurrency": concurrency, "rounds": rounds}
        measured = bench.in_turn({US: partial(ours, "calls", **job)})[US]
        case, ideal = f"{concurrency} at a time", rounds * latency
        note = f"{concurrency * rounds} calls, each stored"
        yield Row(case, US, "wall over ideal", [w / ideal for w in walls(measured)], note, 1.0, f"at most {most}")
        yield Row(case, US, "CPU ms a call", [1000 * one["cpu_s"] / one["calls"] for one in measured], note)
    samples, concurrency = bench.size((2000, 100), (20, 10))
    job = {"base_url": bench.url("base", latency * 1000), "samples": samples, "concurrency": concurrency}
    measured = bench.in_turn({US: partial(ours, "whole_run", method="sequential", **job)})[US]
    case, ideal = f"a run, {concurrency} samples at a time", samples / concurrency * 4 * latency
    note = f"{samples} samples of 4 calls, one after the other; from the plan to the tables"
    yield Row(case, US, "wall over ideal", [w / ideal for w in walls(measured)], note, 1.0, "at most 1.15")
    yield Row(case, US, "CPU ms a call", [1000 * one["cpu_s"] / one["calls"] for one in measured], note)
