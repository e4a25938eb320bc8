"""Exports of a run to formats of other tools: recorded responses, Hugging Face data sets, Inspect logs, traces."""
