"""Batch endpoints: requests are collected in files, submitted, polled and matched with their results."""
