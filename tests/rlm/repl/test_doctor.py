"""The report on the layers of confinement, and the refusal to start without them."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rlm.repl import check_confinement, layers, open_repl
from rlm.repl.protocol import ReplError
from rlm.repl.sandbox import confine, seccomp


def test_the_layers_are_named_and_this_machine_is_good_enough():
    found = {name: available for name, available, _ in layers()}
    assert found["seccomp"] and found["session"]
    assert found["namespaces"] or found["landlock"]
    check_confinement()


def test_another_system_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ReplError, match="darwin") as caught:
        check_confinement()
    assert "\n" not in str(caught.value)
    assert [available for _, available, _ in layers()] == [False]


SCRATCH = """
import asyncio, rlm.repl as repl
async def main():
    session = await repl.open_repl("", {})
    for code in "import pytz, tempfile; print(pytz.MARK)", "with tempfile.TemporaryFile() as f: print(f.write(b'abc'))":
        result = await session.run(code)
        print(result.stdout or result.error, end="")
    await session.aclose()
print({name: available for name, available, _ in repl.layers()}["namespaces"])
asyncio.run(main())
"""


def test_packages_below_the_scratch_folders_usual_place_are_still_there():
    """An environment may lie in /tmp, where sessions have their scratch: neither may hide the other."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "pytz").mkdir()
        (Path(folder) / "pytz" / "__init__.py").write_text("MARK = 'from a folder in /tmp'\n")
        shown = subprocess.run(
            [sys.executable, "-c", SCRATCH], capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": folder},
        )  # fmt: skip
    namespaces, *lines = shown.stdout.splitlines()
    assert lines[0] == "from a folder in /tmp", shown
    if namespaces == "True":
        assert lines[1:] == ["3"], shown


async def test_another_system_starts_no_session(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for confinement in ("confined", "unsafe"):
        with pytest.raises(ReplError, match="Linux"):
            await open_repl("", {}, confinement=confinement)


@pytest.mark.parametrize(
    ("layers", "machine", "word"),
    [
        (confine.Layers(None, 7), "riscv64", "riscv64"),
        (confine.Layers("not permitted", 0), "x86_64", "not permitted"),
    ],
)
def test_the_minimum_is_named_where_it_is_missing(layers, machine, word):
    assert word in confine.missing(layers, machine)


@pytest.mark.parametrize(
    "layers", [confine.Layers(None, 0), confine.Layers("not permitted", 1), confine.Layers(None, 7)]
)
def test_namespaces_or_landlock_are_enough(layers):
    assert confine.missing(layers, "aarch64") is None


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
@pytest.mark.parametrize("own_files", [True, False])
def test_the_filter_fits_the_kernels_limits(machine, own_files):
    code = seccomp.program(1, own_files=own_files, machine=machine)
    assert len(code) % 8 == 0 and 0 < len(code) // 8 < 4096


def test_the_filter_of_another_architecture_is_refused():
    with pytest.raises(OSError, match="riscv64"):
        seccomp.program(1, own_files=True, machine="riscv64")


@pytest.mark.skipif(platform.system() != "Linux", reason="sessions need Linux")
async def test_an_unsafe_session_runs_without_confinement(tmp_path):
    (tmp_path / "file").write_text("text")
    repl = await open_repl("", {}, confinement="unsafe")
    assert (await repl.run(f"open({str(tmp_path / 'file')!r}).read()")).stdout == "'text'\n"
    await repl.aclose()
