"""The cost of making, counting and scoring data, each in a separate process so that peaks do not add up."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.bench.measure import US, Bench, Row

Measured = dict[str, float]


def data(bench: Bench) -> Iterator[Row]:
    """Generated contexts and token counting in MB of text a processor second; OOLONG-Pairs at 1M tokens in seconds."""
    tokens, pair_tokens = bench.size(10_000_000, 20_000), bench.size(1_048_576, 4096)
    jobs: list[tuple[str, Callable[..., Measured], tuple[Any, ...]]] = [
        *((f"haystack, {variant}", haystack, (variant, tokens)) for variant in ("single_1", "single_2", "noise_uuid")),
        ("documents (world)", documents, (bench.size(1000, 20),)),
        ("OOLONG window", window_text, (tokens,)),
        ("tokens counted", counting, (bench.size(40_000_000, 100_000),)),
        *((f"pairs, task {task}", pairs, (task, pair_tokens)) for task in bench.size((1, 4, 19), (1,))),
    ]
    for case, measure, arguments in jobs:
        values: dict[str, list[float]] = {}
        for _ in range(bench.repeats):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                for name, value in pool.apply(measure, arguments).items():
                    values.setdefault(name, []).append(value)
        for name, measured in values.items():
            yield Row(case, US, name, measured, "one process")


def haystack(variant: str, tokens: int) -> Measured:
    """A haystack of that many tokens."""
    from benchmarks.suites.sniah.suite import SNIAH

    benchmark = SNIAH(variants=[variant], lengths=[512, tokens], samples=1)
    return _built(lambda info: len(benchmark.sample(info.sample_id).prompt.context), *benchmark.infos())


def window_text(tokens: int) -> Measured:
    """A window of OOLONG lines of that many tokens."""
    from benchmarks.suites.oolong.generator import generated_window
    from rlm.models.tokens import DEFAULT_ENCODING

    return _built(lambda length: len(generated_window(length, 0, 0, DEFAULT_ENCODING, 200).text), 512, tokens)


def documents(count: int) -> Measured:
    """The generated documents of BrowseComp-Plus for one question."""
    from benchmarks.suites.browsecomp_plus.suite import BrowseCompPlus

    def build(size: int) -> int:
        # A separate world: documents are written once for all questions.
        benchmark = BrowseCompPlus(documents=[size], queries=1, seed=size)
        return sum(map(len, benchmark.sample(benchmark.infos()[0].sample_id).prompt.context))

    return _built(build, 10, count)


def counting(chars: int) -> Measured:
    """Tokens of a text."""
    from benchmarks.suites.sniah.suite import SNIAH
    from rlm.models.tokens import count_tokens

    benchmark = SNIAH(variants=["single_2"], lengths=[chars // 4], samples=1)
    text = benchmark.sample(benchmark.infos()[0].sample_id).prompt.context
    # Another text, since a long text is counted once.
    text = text[1:]
    return _built(lambda piece: count_tokens(piece) and len(piece), text[:100], text)


def _built(build: Callable[[Any], int], small: object, large: object) -> Measured:
    # The first, small one loads the encoding and the texts.
    build(small)
    before = _memory_mb("VmRSS")
    # Writing 5 makes the kernel forget the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    start = time.process_time()
    size = build(large) / 1e6
    took = time.process_time() - start
    return {"MB a second": size / took, "peak memory over size": (_memory_mb("VmHWM") - before) / size}


def pairs(task: int, tokens: int) -> Measured:
    """Gold pairs of a window, and an answer that lists them all read and scored."""
    from benchmarks.suites.oolong_pairs.scorer import score_answer
    from benchmarks.suites.oolong_pairs.suite import OolongPairs

    benchmark = OolongPairs(lengths=[tokens])
    sample_id = next(info.sample_id for info in benchmark.infos() if info.sample_id.endswith(f"task{task:02d}"))
    start = time.process_time()
    gold = benchmark.sample(sample_id).target
    built = time.process_time()
    answer = benchmark.oracle(gold)
    written = time.process_time()
    if score_answer(gold, answer).value != 1.0:
        raise SystemExit(f"bench: the oracle's answer to task {task} is not scored as right")
    judged = time.process_time()
    return {
        "pairs": len(gold),
        "s for window and gold": built - start,
        "s to read and score": judged - written,
        "peak MB": _memory_mb("VmHWM"),
    }


def _memory_mb(which: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) * 1024 / 1e6
