"""Fixtures for the page in real Chromium."""

import shutil
import time

import page_run
import pandas as pd
import pytest

from benchmarks.report.page.html import write_page
from benchmarks.report.runs import load_runs


class Page:
    """A page open in the browser: `css` finds elements, `run` evaluates, `until` waits for a condition."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, page, part=""):
        self.driver.get("about:blank")
        self.driver.get(f"{page.as_uri()}#{part}")

    def css(self, selector, within=None):
        return (within or self.driver).find_elements("css selector", selector)

    def texts(self, selector):
        # In one go, so that no node is gone before its turn.
        script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText.trim())"
        return self.run(script, selector)

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "the page did not get there"
            time.sleep(0.02)
        return found

    def press(self, *keys, on="body"):
        self.css(on)[0].send_keys(*keys)

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    program = shutil.which("chromedriver")
    if not browser or not program:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    for word in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1400,900",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(program))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def without_figures(monkeypatch):
    """Reports without figures, for tests of tables and texts: most of the time of a report is the drawing."""
    monkeypatch.setattr("benchmarks.report.build.write_figures", lambda *_, **__: [])


@pytest.fixture
def page(driver):
    driver.get_log("browser")
    # A theme that an earlier test chose is stored for all pages of the file system.
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": "local_storage"})
    return Page(driver)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    run = page_run.demo(folder / "run")
    figure = folder / "score_by_length.svg"
    figure.write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20' onload='window.hacked=9'>"
        "<script>window.hacked = 8</script><rect width='40' height='20'/></svg>"
    )
    behind = folder / "score_by_length.csv"
    behind.write_text("length,score\n8192,50\n")
    table = pd.DataFrame({
        "method": ["base", "compaction", "rlm", "none"], "score": ["9.5 [1, 20]", "56.0* [42, 68]", "-3.0 [-5, 1]", ""],
        "n": [10, 9, 100, 8],
    })  # fmt: skip
    return write_page(load_runs([run]), folder, {"Scores": table}, [figure, behind], notes={"Scores": "What n is."})[0]
