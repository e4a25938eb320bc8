"""The judge, which suites share."""
