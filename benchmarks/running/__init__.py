"""Runs a matrix: plan, harness, journal, run folder, manifest, progress and executors."""
