"""Every file of conf/method makes the method that it names, and has only keys of that method."""

import importlib
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rlm.methods.method import Method
from rlm.models.scripted import ScriptedModel

CONF = Path(__file__).parents[3] / "conf"
NAMES = sorted(path.stem for path in (CONF / "method").glob("*.yaml") if path.stem not in ("oracle", "floor"))
# What a user has to set first.
NEEDED = {
    "agent_cli": {"command": ["agent"]},
    "reference_rlms": {"confinement": "unsafe", "python": sys.executable},
    "reference_dspy": {"confinement": "unsafe", "python": sys.executable},
}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=[f"method=[{','.join(NAMES)}]"])
    return OmegaConf.to_container(config, resolve=True)["method"]


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_makes_its_method(name: str, settings: dict[str, Any]) -> None:
    keys = settings[name] | NEEDED.get(name, {})
    module, _, target = keys.pop("_target_").rpartition(".")
    method = getattr(importlib.import_module(module), target)(model=ScriptedModel([]), **keys)
    assert isinstance(method, Method)
    own = {field.name for field in fields(method)}
    assert set(keys) <= own - {"model", "sub_model", "limits", "repl"}
