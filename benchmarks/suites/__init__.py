"""The suites: one package per benchmark, with its data, generator, prompt and scorer."""
