"""The page that shows a run in the browser."""
