"""The judge, which several suites may use."""
