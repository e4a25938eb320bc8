"""The suites: a package for each benchmark, with its data, generator, prompt and scorer side by side."""
