"""Fixtures of the suites' tests."""

import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of `datasets` that is empty."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
