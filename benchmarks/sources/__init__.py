"""Rows of data sets from the hub and from files, and the tools that generators share."""
