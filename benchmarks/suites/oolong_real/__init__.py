"""OOLONG-real: questions about the dice rolls and spells in transcripts of a role-playing game."""

from benchmarks.suites.oolong_real.suite import OolongReal

__all__ = ["OolongReal"]
