#!/usr/bin/env python3
"""Print a SHA-256 of the generated samples of each suite, which must be the same with every Python version and machine.

    .venv/bin/python scripts/generated_hashes.py > one.txt
    python3.13 scripts/generated_hashes.py | diff one.txt -

The hash covers the messages, the questions and the targets of a few samples of each suite at small lengths.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sample import Benchmark
from benchmarks.suites.browsecomp_plus import BrowseCompPlus
from benchmarks.suites.graphwalks import GraphWalks
from benchmarks.suites.longbench_v2 import LongBenchV2
from benchmarks.suites.longbench_v2.domains import KEYS
from benchmarks.suites.longcot_mini import LongCoTMini
from benchmarks.suites.mrcr import MRCR
from benchmarks.suites.oolong import Oolong
from benchmarks.suites.oolong.subsets import SUBSETS
from benchmarks.suites.oolong_pairs import OolongPairs
from benchmarks.suites.oolong_real import OolongReal
from benchmarks.suites.ruler import Ruler
from benchmarks.suites.sniah import SNIAH


def suites() -> Iterator[tuple[str, Benchmark]]:
    """Every suite that generates data from its seed alone; CodeQA's questions depend on the installed packages."""
    yield "sniah", SNIAH(lengths=(512, 4096), samples=6)
    yield "oolong", Oolong(lengths=(1024, 8192), samples=50)
    for subset in SUBSETS:
        yield f"oolong {subset}", Oolong(lengths=(1024, 8192), samples=25, subsets=(subset,))
    yield "oolong_pairs", OolongPairs(lengths=(1024, 8192), samples=20)
    yield "oolong_real", OolongReal(lengths=(2048, 16384), samples=32)
    yield "browsecomp_plus", BrowseCompPlus(documents=(20,), queries=10, world_documents=100)
    yield "mrcr", MRCR(lengths=(1024, 16384), samples=9)
    yield "graphwalks", GraphWalks(lengths=(512, 16384), samples=10)
    yield "ruler", Ruler(lengths=(1024, 8192), samples=2)
    texts = tuple(key for key in KEYS if key != "code")
    yield "longbench_v2", LongBenchV2(lengths=(1024, 8192), samples=10, domains=texts)
    yield "longcot_mini", LongCoTMini(lengths=(1024, 8192), samples=12)


def main() -> None:
    for name, benchmark in suites():
        digest, number = hashlib.sha256(), 0
        for info in benchmark.infos():
            sample = benchmark.sample(info.sample_id)
            digest.update(repr((info, sample.prompt.messages(), sample.prompt.query)).encode("utf-8", "replace"))
            digest.update(benchmark.target_bytes(sample.target))
            number += 1
        print(f"{digest.hexdigest()}  {name}, {number} samples", flush=True)


if __name__ == "__main__":
    main()
