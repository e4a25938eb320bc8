"""The store of finished model calls."""
