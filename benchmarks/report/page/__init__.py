"""Shows a run as a page in the browser."""
