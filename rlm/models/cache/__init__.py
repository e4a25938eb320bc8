"""The response cache and its store of finished model calls."""
