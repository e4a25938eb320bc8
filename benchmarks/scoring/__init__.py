"""Scorers and the judge that several suites share."""
