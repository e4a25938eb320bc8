"""CodeQA: multiple-choice questions over a code repository."""

from benchmarks.suites.codeqa.suite import CodeQA

__all__ = ["CodeQA"]
