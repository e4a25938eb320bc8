"""The benchmarks: one package a suite, with its data, generator, prompt and scorer side by side."""
