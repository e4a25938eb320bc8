"""Scorers that suites share, scorers that are chosen by name, and the judge."""
