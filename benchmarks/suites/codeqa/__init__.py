"""CodeQA: multiple-choice questions about a code repository, from LongBench-v2."""

from benchmarks.suites.codeqa.suite import CodeQA

__all__ = ["CodeQA"]
