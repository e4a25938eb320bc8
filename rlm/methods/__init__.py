"""Methods: each takes a prompt and returns a completion."""
