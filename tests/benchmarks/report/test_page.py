"""The page in real Chromium: shown, clicked, filtered, sorted, and hostile texts that stay texts."""

import importlib.util
import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.report import write_report
from benchmarks.report.page import html
from benchmarks.report.page.html import write_page
from benchmarks.report.runs import load_runs

pytestmark = pytest.mark.browser


def _load_page_run():
    spec = importlib.util.spec_from_file_location("page_run", Path(__file__).with_name("page_run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page_run = _load_page_run()
row, trajectory = page_run.row, page_run.trajectory


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


@pytest.fixture(scope="module")
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
def page(driver):
    driver.get_log("browser")
    return Page(driver)


@pytest.fixture(scope="module")
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


class TestOverview:
    def test_shows_numbers_tables_and_runs_without_a_complaint(self, page, demo):
        page.open(demo)
        assert page.texts("h1") == ["demo"]
        assert "48" in page.texts(".strip dd")
        assert "What n is." in page.css("main")[0].text
        assert page.complaints() == []

    def test_tables_sort_by_number_either_way_with_missing_values_last(self, page, demo):
        page.open(demo)
        score = page.css("main th button")[1]
        score.click()
        assert page.texts("main tbody th") == ["rlm", "base", "compaction", "none"]
        assert page.css("main th")[1].get_attribute("aria-sort") == "ascending"
        score.click()
        assert page.texts("main tbody th") == ["compaction", "base", "rlm", "none"]
        page.css("main th button")[2].click()
        assert page.texts("main tbody th") == ["none", "compaction", "base", "rlm"]

    def test_the_first_screen_is_the_matrix_and_score_against_cost_in_the_colours_of_the_theme(self, page, tmp_path):
        run = page_run.demo(tmp_path / "run")
        page.open(write_report([run], tmp_path / "report").page)
        assert page.texts(".matrix tbody th") == ["base", "rlm", "compaction"]
        assert len(page.css(".matrix .entry")) == 6
        picture = page.css("figure img")[0]
        light, _ = picture.get_attribute("src"), page.css("#theme")[0].click()
        assert picture.size["width"] >= 900 and picture.get_attribute("src") != light
        page.css(".picture")[0].click()
        assert page.css("dialog.enlarged img")[0].size["width"] > picture.size["width"]
        page.css("dialog button")[0].click()
        page.css(".entry-score")[0].click()
        page.until(lambda: "method=base" in page.run("return location.hash"))

    def test_figures_are_pictures_that_run_nothing(self, page, demo):
        page.open(demo, "figures")
        page.until(lambda: page.run("return document.querySelector('figure img').naturalWidth") == 40)
        page.css("figure summary")[0].click()
        page.until(lambda: page.texts("figure tbody th") in (["8,192"], ["8192"]))
        assert page.run("return window.hacked") is None


class TestList:
    def test_filters_narrow_the_list_and_stay_in_the_address(self, page, demo):
        page.open(demo, "samples")
        assert page.texts(".tally")[0].startswith("48 of 48 samples")
        page.css("select[data-filter=method] option[value=rlm]")[0].click()
        assert page.texts(".tally")[0].startswith("16 of 48 samples")
        page.css("select[data-filter=benchmark] option[value=sniah]")[0].click()
        assert page.texts(".tally")[0].startswith("8 of 48 samples")
        page.css("#search")[0].send_keys("SNIAH-03")
        page.until(lambda: page.texts(".tally")[0].startswith("1 of 48 samples"))
        assert "method=rlm" in page.driver.current_url and "text=SNIAH-03" in page.driver.current_url
        page.driver.refresh()
        page.until(lambda: page.texts(".tally") and page.texts(".tally")[0].startswith("1 of 48 samples"))
        page.css(".filters button")[0].click()
        assert page.texts(".tally")[0].startswith("48 of 48")

    def test_score_and_cost_are_ranges(self, page, demo):
        page.open(demo, "samples")
        page.css("input[data-filter=score_min]")[0].send_keys("100")
        page.until(lambda: "mean score 100.0" in page.texts(".tally")[0])
        page.css("input[data-filter=cost_usd_max]")[0].send_keys("0")
        page.until(lambda: page.texts(".tally")[0].startswith("0 of 48"))
        assert "No sample matches" in page.texts(".rows")[0]

    def test_sorts_by_column(self, page, demo):
        page.open(demo, "samples")
        cost = page.css("[data-name=cost_usd] button")[0]
        for sign in (1, -1):
            cost.click()
            shown = [float(text.strip("$")) for text in page.texts(".rows [role=gridcell]:nth-child(9)")]
            assert len(shown) > 10 and shown == sorted(shown, key=lambda value: sign * value)

    def test_works_by_keyboard(self, page, demo):
        from selenium.webdriver.common.keys import Keys

        page.open(demo, "samples")
        page.press("/")
        assert page.run("return document.activeElement.id") == "search"
        page.css("#search")[0].send_keys("oolong")
        page.until(lambda: page.texts(".tally")[0].startswith("24 of"))
        page.css(".list")[0].send_keys(Keys.ARROW_DOWN, Keys.END, Keys.HOME, Keys.ARROW_DOWN)
        assert page.css("[aria-selected=true]")[0].get_attribute("id") == "row-1"
        page.css(".list")[0].send_keys(Keys.ENTER)
        first = page.until(lambda: page.texts("h1 + .arm"))
        page.press("j")
        page.until(lambda: page.texts("h1 + .arm") not in ([], first))
        page.press(Keys.ESCAPE)
        page.until(lambda: page.texts(".tally") and page.texts(".tally")[0].startswith("24 of"))

    def test_ten_thousand_samples_have_few_rows_in_the_document(self, page, tmp_path):
        rows = [
            row("sniah", f"m{i % 4}", f"s-{i // 4:05d}", score=i % 7 / 7, cost_usd=i / 1e5, prediction=f"answer {i}")
            for i in range(10_000)
        ]
        made = write_page(load_runs([page_run.write_run(tmp_path / "run", rows, {})]), tmp_path, {}, [])[0]
        page.open(made, "samples")
        assert page.texts(".tally")[0].startswith("10,000 of 10,000 samples")
        assert len(page.css(".rows .list-row")) < 80
        page.run("document.querySelector('.list').scrollTop = 1e9")
        page.until(lambda: any("s-02499" in text for text in page.texts(".rows .list-row")))
        page.css("#search")[0].send_keys("s-00777")
        page.until(lambda: page.texts(".tally")[0].startswith("4 of 10,000"))
        assert len(page.css(".rows .list-row")) == 4


class TestSample:
    @pytest.fixture
    def sample(self, page, demo):
        page.open(demo, "sample/1")
        page.until(lambda: page.css(".turn"))
        return page

    def test_shows_turns_code_output_sub_calls_and_answer(self, sample):
        assert sample.texts(".turn > header h3")[0] == "Turn 1"
        assert "def windows" in sample.texts("pre.python")[0]
        assert {"def", "import", "for"} <= set(sample.texts(".py-keyword"))
        assert "llm_query_batched" in sample.texts(".py-tool")
        assert any("3 ['Lisbon'" in text for text in sample.texts(".stdout"))
        assert any("ZeroDivisionError" in text for text in sample.texts(".stderr"))
        assert "Lisbon, Oslo, Rome" in sample.texts(".answer")[0]
        assert "of code, run below" in sample.texts(".ran")[0]
        assert sample.complaints() == []

    def test_the_scored_part_of_the_answer_is_marked_beside_the_target(self, page, tmp_path):
        rows = [
            row("sniah", "rlm", name, prediction=said, extracted=scored, target='"Oslo"')
            for name, said, scored in (
                ("a", "Osloer Oslo, then Oslo?", "oslo"), ("b", "(1, 2)", "1 pairs"), ("c", None, None)
            )
        ]  # fmt: skip
        made = write_page(load_runs([page_run.write_run(tmp_path / "run", rows, {})]), tmp_path / "out", {}, [])[0]
        page.open(made, "sample/0")
        page.until(lambda: page.css("mark.scored"))
        assert page.texts("mark.scored") == ["Oslo"] and page.texts(".outcome .wide pre")[1] == "Oslo"
        before = "document.querySelector('mark.scored').previousSibling.data"
        assert page.run(f"return {before}") == "Osloer Oslo, then "
        page.open(made, "sample/1")
        page.until(lambda: "scored: 1 pairs" in page.texts(".outcome")[0])
        page.open(made, "sample/2")
        page.until(lambda: "no answer" in page.texts(".outcome")[0])
        assert page.complaints() == []

    def test_empty_fences_of_a_reply_are_text(self, page, tmp_path):
        events = trajectory(reply="Look:\n```\n```\n```\n```\nand\n```python\nx = 1\n```\n")
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "a")], {("sniah", "rlm", "a", 0): events})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css(".reply"))
        assert [text.split() for text in page.texts(".reply:first-of-type pre")[:2]] == [
            ["Look:", "```", "```", "```", "```", "and"], ["x", "=", "1"],
        ]  # fmt: skip

    def test_sub_calls_are_a_tree_with_tokens_and_dollars(self, sample):
        (calls,) = sample.css("details.sub-calls")
        summary = sample.css("summary", calls)[0]
        assert "7 sub-calls" in summary.text and "$0.01" in summary.text and "tokens" in summary.text
        summary.click()
        sample.until(lambda: len(sample.css("details.call.sub", calls)) == 6)
        inner = sample.css("details.call.sub", calls)
        sample.css("summary", inner[0])[0].click()
        sample.until(lambda: "Lisbon, Oslo" in inner[0].text and "Prompt" in inner[0].text)
        child = sample.css("details.child", calls)[0]
        sample.css("summary", child)[0].click()
        sample.until(lambda: "Turn 1" in child.text and "FINAL(yes)" in child.text)

    def test_shows_the_time_of_each_lane(self, sample):
        told = dict(zip(sample.texts(".shares dt"), sample.texts(".shares dd"), strict=True))
        # Root calls of 3.0 and 2.1 s; sub-calls cover 6.7 s; of 7.62 s of cells the rest; 14.2 s in all.
        assert told["root model"].startswith("5.10 s") and told["sub-calls"].startswith("6.70 s")
        assert told["code"].startswith("0.92 s") and told["other"].startswith("1.48 s")
        assert len(sample.css("svg .span")) == 11

    def test_replayed_calls_take_their_original_time_and_a_last_call_is_named(self, page, tmp_path):
        def call(number, parent, at, latency):
            return {"id": number, "parent": parent, "kind": "call", "depth": 0, "at": at, "role": "root", "reply": "x",
                    "latency_s": latency, "cache_hit": True, "call_id": number, "messages": []}  # fmt: skip

        turns = [{"id": i, "parent": None, "kind": "turn", "depth": 0, "at": 0.001, "turn": 1} for i in (0, 2)]
        limit = {"id": 3, "parent": 2, "kind": "limit", "depth": 0, "at": 0.002, "reason": "max_turns"}
        answer = {"id": 5, "parent": None, "kind": "answer", "depth": 0, "at": 0.004, "answer": None}
        events = [turns[0], call(1, 0, 0.001, 30.0), turns[1], limit, call(4, 2, 0.003, 10.0), answer]
        one = row("sniah", "rlm", "s", prediction=None, extracted=None, score=1.0)
        run = page_run.write_run(tmp_path / "run", [one], {("sniah", "rlm", "s", 0): events})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css(".turn"))
        assert page.texts(".time h3") == ["Time 40.0 s"] and page.texts(".shares dd")[0] == "40.0 s · 100%"
        assert page.texts(".turn h3") == ["Turn 1", "Last call after the limit"]
        assert page.texts(".tag.late") == ["last call, after max turns"]
        assert page.css(".outcome .score.none") and page.css(".answer.none") and page.complaints() == []

    def test_an_address_leads_to_a_sample_and_an_event_by_their_names(self, sample, demo):
        address = sample.run("return location.hash")
        assert "benchmark=" in address and "id=" in address and "sample/" not in address
        link = sample.css(".call.own .link")[1]
        event = link.get_attribute("href").rsplit("=", 1)[1]
        title = sample.texts("h1")
        link.click()
        sample.until(lambda: sample.run("return document.activeElement.dataset.event") == event)
        sample.open(demo, f"{address[1:]}&event={event}")
        sample.until(lambda: sample.run("return document.activeElement.dataset.event") == event)
        assert sample.texts("h1") == title
        sample.open(demo, "sample?benchmark=sniah&method=rlm&id=none")
        sample.until(lambda: sample.texts("h1") == ["demo"])

    def test_a_key_leads_to_the_next_failure(self, page, demo):
        page.open(demo, "samples?method=rlm")
        page.until(lambda: page.css(".list-row"))
        page.press("n")
        selected = "document.querySelector('[aria-selected=true]')"
        place = int(page.run(f"return {selected}.id.slice(4)"))
        assert place > 0 and page.run(
            f"return {selected}.querySelector('.score.bad, .state:not(.ok), .score.part') !== null"
        )
        page.press("n", on=".list")
        assert int(page.run(f"return {selected}.id.slice(4)")) != place

    def test_search_finds_folded_text_and_unfolds_it(self, sample):
        from selenium.webdriver.common.keys import Keys

        find = sample.css(".find")[0]
        find.send_keys("third part")
        sample.until(lambda: sample.css(".found"))
        assert "of 1 event" in sample.texts(".find-bar .meta")[0]
        assert sample.css("details.child")[0].get_attribute("open") is not None
        find.clear()
        find.send_keys("oslo", Keys.ENTER)
        assert sample.texts(".find-bar .meta") == ["1 of 6 events"]
        find.send_keys(Keys.ENTER, Keys.ENTER, Keys.SHIFT, Keys.ENTER)
        assert sample.texts(".find-bar .meta") == ["2 of 6 events"]
        find.clear()
        find.send_keys("nowhere at all")
        sample.until(lambda: sample.texts(".find-bar .meta") == ["no match"])

    def test_call_tree_leads_to_a_turn(self, sample):
        names = [text.split("\n")[0] for text in sample.texts(".outline li")]
        assert names == ["Turn 1", "Child RLM", "Turn 1", "Turn 2", "Answer"] or "Turn 2error" in "".join(names)
        sample.css(".outline button")[2].click()
        assert sample.run("return document.activeElement.dataset.event") == "10"

    def test_two_methods_side_by_side(self, sample):
        option = next(o for o in sample.css(".chooser option") if o.text.startswith("compaction"))
        option.click()
        sample.until(lambda: len(sample.css(".half .turn")) >= 4)
        assert sample.texts(".half h2") == ["rlm", "compaction"]
        left, right = sample.css(".half")
        assert right.location["x"] > left.location["x"] + left.size["width"] / 2
        assert right.location["y"] == left.location["y"]
        assert sample.texts("main tbody th") == ["rlm", "compaction"]


class TestLooks:
    def test_dark_and_light_by_preference_and_by_button(self, page, demo):
        def background():
            return page.run("return getComputedStyle(document.body).backgroundColor")

        def prefer(scheme):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

        prefer("dark")
        page.open(demo)
        dark = background()
        prefer("light")
        light = background()
        assert dark != light
        page.css("#theme")[0].click()
        assert background() == dark
        page.css("#theme")[0].click()
        assert background() == light

    @pytest.mark.parametrize("part", ["", "samples", "sample/1", "compare/0/1", "figures"])
    def test_narrow_windows_need_no_sideways_scrolling(self, page, demo, part):
        page.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 420, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        )
        try:
            page.open(demo, part)
            page.until(lambda: page.css("h1") and (not part.startswith(("sample/", "comp")) or page.css(".turn")))
            assert page.run("return document.documentElement.scrollWidth") <= 420
        finally:
            page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_prints_every_part(self, page, demo):
        for part in ("", "sample/1"):
            page.open(demo, part)
            page.until(lambda: page.css("h1"))
            assert len(page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000

    @pytest.mark.parametrize("part", ["", "samples", "sample/1", "compare/0/1", "figures"])
    def test_everything_that_can_be_used_has_a_name(self, page, demo, part):
        page.open(demo, part)
        page.until(lambda: page.css("h1") and (not part.startswith(("sample/", "comp")) or page.css(".turn")))
        nodes = page.css(
            "main button, main a, main input, main select, main [role=grid], main summary, main [tabindex='0']"
        )
        assert nodes
        assert [node.get_attribute("outerHTML")[:80] for node in nodes if not node.accessible_name] == []
        levels = [int(node.tag_name[1]) for node in page.css("h1, h2, h3")]
        assert levels[0] == 1 and levels.count(1) == 1


class TestHostile:
    def hostile_page(self, tmp_path, text, large=False):
        name = text.encode("utf-8", "replace").decode().replace("\0", "")
        events = trajectory(question=text, reply=text, code=text, output=text)
        events += [
            {"id": len(events) + i, "parent": None, "depth": 0, "at": 1, "kind": kind, text: text, "text": text}
            for i, kind in enumerate(["notice", "limit", "__proto__", "constructor", text])
        ]
        one = row("sniah", "rlm", name[:100], prediction=name, extracted=name, error=name, task_group=name, model=name,
                  stop_reason=name, status=name, metric=name, cluster=name)  # fmt: skip
        other = one | {"method": name}
        run = page_run.write_run(tmp_path / "run", [one, other], {("sniah", "rlm", name[:100], 0): events}, name=name)
        table = pd.DataFrame({name: [name]})
        return write_page(load_runs([run]), tmp_path / "out", {name: table}, [], notes={name: name})[0]

    def visit(self, page, made):
        for part in ("overview", "samples", "figures", "sample/0", "compare/0/1"):
            page.open(made, part)
            page.until(lambda part=part: page.css("h1") and (part != "sample/0" or page.css(".turn")))
            page.run("document.querySelectorAll('details').forEach((node) => node.unfold())")
            page.run(
                "document.querySelectorAll('main *').forEach((node) => node.dispatchEvent(new Event('mouseover')))"
            )
            assert page.run("return window.hacked") is None
            assert page.css("main script, main iframe, main object, main svg[onload], main img[onerror]") == []
            assert page.css("a[href^='javascript:']") == []

    def test_texts_of_models_and_data_never_run(self, page, tmp_path):
        made = self.hostile_page(tmp_path, page_run.HOSTILE)
        self.visit(page, made)
        page.open(made, "sample/0")
        page.until(lambda: page.css(".turn"))
        text = "document.querySelector('.trajectory').textContent"
        assert page.run(f"return {text}.includes('<script>window.hacked = 1</script>')")
        # What turns the direction of text is written out in code.
        code = "document.querySelector('pre.python').textContent"
        assert page.run(f"return {code}.includes('\\\\u202e') && !{code}.includes('\\u202e')")
        page.css(".find")[0].send_keys("<script>")
        page.until(lambda: page.css(".found"))
        assert page.complaints() == []

    def test_addresses_cannot_lead_out(self, page, demo):
        for part in ("sample/99999", "sample/-1", "compare/1", "samples?sort=__proto__&method=%3Cb%3E", "constructor",
                     "samples?text=%", "sample/1/../../x", "<img src=x onerror=window.hacked=1>"):  # fmt: skip
            page.open(demo, part)
            page.until(lambda: page.css("h1"))
            assert page.run("return window.hacked") is None
        assert page.complaints() == []

    def test_injected_markup_is_stopped_by_the_policy(self, page, demo):
        page.open(demo)
        page.run(
            "const box = document.createElement('div');"
            'box.innerHTML = \'<img src=x onerror="window.hacked=1"><iframe src="data:text/html,x"></iframe>\';'
            "document.body.append(box)"
        )
        time.sleep(0.3)
        assert page.run("return window.hacked") is None
        assert any("Content Security Policy" in message for message in page.complaints())

    def test_ten_megabytes_in_a_cell_do_not_hang_the_page(self, page, tmp_path):
        big = 'def f(x):\n    return \'<b>\' + x  # \u2603 """ \n' * 250_000
        assert len(big) > 10_000_000
        events = trajectory(code=big, output=big + "the very end")
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): events})
        made = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
        page.open(made, "sample/0")
        page.until(lambda: page.css(".turn"))
        shown = page.run("return document.querySelector('.trajectory').textContent.length")
        assert shown < 100_000
        more = page.css("pre.python + .more")[0]
        assert "Show 200,000 more" in more.text
        more.click()
        assert page.run("return document.querySelector('pre.python').textContent.length") > 200_000
        page.css(".find")[0].send_keys("the very end")
        page.until(lambda: page.css(".found"), 60)
        assert page.run("return CSS.highlights.get('found').size") >= 1

    def test_deep_trees_and_broken_lines_are_shown_in_part(self, page, tmp_path):
        deep = [{"id": i, "parent": i - 1 if i else None, "kind": "child", "depth": i, "at": i, "query": f"level {i}"}
                for i in range(3000)]  # fmt: skip
        lines = page_run.jsonl(deep) + '{"kind": "turn", cut\nnull\n[1]\n{"id": 5, "parent": 5, "kind": "turn"}\n{}\n'
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): lines})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css("details.child"))
        assert "unreadable line" in page.css(".trajectory")[0].text
        assert page.complaints() == []

    def test_five_thousand_sub_calls_are_shown_piece_by_piece(self, page, tmp_path):
        calls = [{"id": 1 + i, "parent": 0, "kind": "call", "depth": 1, "at": 1 + i / 1000, "call_id": i, "role": "sub",
                  "messages": [], "reply": f"reply {i}", "prompt_tokens": 5, "completion_tokens": 1, "cost_usd": 0.001,
                  "latency_s": 0.5} for i in range(5000)]  # fmt: skip
        cell = {"id": 9000, "parent": 0, "kind": "cell", "depth": 0, "at": 7, "code": "x", "status": "ok", "wall_s": 6}
        events = [{"id": 0, "parent": None, "kind": "turn", "depth": 0, "at": 0, "number": 1}, *calls, cell]
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): events})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css("details.sub-calls"))
        page.run("document.querySelector('details.sub-calls').unfold()")
        assert len(page.css("details.call")) == 100
        page.css(".find")[0].send_keys("reply 350")
        page.until(lambda: page.css(".found"))
        assert len(page.css("details.call")) < 600


class TestContext:
    def test_a_context_is_read_and_searched_in_pieces_from_files_and_from_the_run_folder(
        self, page, tmp_path, monkeypatch
    ):
        from selenium.webdriver.common.keys import Keys

        from benchmarks.report.page import contexts, site, view
        from benchmarks.running.contexts import ContextFiles

        monkeypatch.setattr(contexts, "PIECE_CHARS", 100)
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {})
        text = "<b>start</b> Needle " + "x" * 75 + "border" + "y" * 150 + " needle, the end"
        ContextFiles(run).write("sniah", "s", text, protected=False)

        def search():
            page.until(lambda: page.css(".context summary"))
            page.css(".context summary")[0].click()
            page.until(lambda: page.texts(".context pre")[0].startswith("<b>start</b>"))
            assert page.texts(".context .meta") == ["267 characters · part 1 of 3"]
            field = page.css(".context input")[0]
            for wanted, part in (("needle", 1), ("needle", 3), ("needle", 1), ("border", 1)):
                field.clear()
                field.send_keys(wanted, Keys.ENTER)
                page.until(lambda part=part: f"part {part} of 3" in page.texts(".context .meta")[0])
                assert page.run("return CSS.highlights.get('found').size") == 1
            field.clear()
            field.send_keys("nowhere", Keys.ENTER)
            page.until(lambda: page.texts(".context .meta") == ["no match"])
            page.css(".context button[aria-label^=Next]")[1].click()
            page.until(lambda: page.texts(".context .meta") == ["267 characters · part 2 of 3"])
            assert len(page.texts(".context pre")[0]) <= 100 and page.complaints() == []

        page.open(write_page(load_runs([run]), run / "report", {}, [])[0], "sample/0")
        search()
        shutil.rmtree(run / "report" / contexts.CONTEXTS)
        server = view.bind(site.Site.of([run], tmp_path / "scratch"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page.driver.get(f"{view.address(server)}#sample/0")
            search()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class TestUnderWay:
    def test_the_page_of_a_run_follows_its_journal(self, page, tmp_path, monkeypatch):
        import asyncio
        import fcntl

        from benchmarks.report.page import site, view
        from benchmarks.running.journal import Journal, Record
        from benchmarks.running.rows import SampleRow

        monkeypatch.setattr(site, "REBUILD_S", 0)
        monkeypatch.setattr(site, "BUILDS_APART", 0)
        run = page_run.write_run(tmp_path / "run", [], {})
        (run / "samples.parquet").unlink()
        journal = Journal(run / "journal" / "host.jsonl")

        def add(name):
            asyncio.run(journal.append(Record(SampleRow.read(row("sniah", "rlm", name)))))

        add("a")
        with (run / "run.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = view.bind(site.Site.of([run], tmp_path / "scratch"))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                page.driver.get(f"{view.address(server)}#samples?method=rlm")
                page.until(lambda: page.texts(".tally") == ["1 of 1 sample · mean score 100.0 · $0.01"])
                assert page.texts(".brand .tag") == ["under way"]
                add("b")
                page.until(lambda: page.texts(".tally") and page.texts(".tally")[0].startswith("2 of 2 samples"))
                assert page.driver.current_url.endswith("#samples?method=rlm") and page.complaints() == []
            finally:
                server.shutdown()
                server.server_close()
                thread.join()
                journal.close()


class TestLargeRun:
    def test_trajectories_beside_the_page_are_read_from_files_and_from_the_server(self, page, tmp_path, monkeypatch):
        from benchmarks.report.page import site, view

        monkeypatch.setattr(html, "INLINE_BYTES", 10)
        rows = [row("sniah", method, "s") for method in ("base", "rlm")]
        run = page_run.write_run(tmp_path / "run", rows, {("sniah", m, "s", 0): trajectory() for m in ("base", "rlm")})
        made, folder = write_page(load_runs([run]), tmp_path / "out", {}, [])
        page.open(made, "compare/0/1")
        page.until(lambda: len(page.css(".half .turn")) >= 4)
        assert page.complaints() == []
        server = view.bind(site.Site.of([made], tmp_path))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page.driver.get(f"{view.address(server)}#sample/1")
            page.until(lambda: page.css(".turn"))
            assert page.complaints() == []
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        for file in folder.iterdir():
            file.unlink()
        page.open(made, "sample/1")
        page.until(lambda: "keep this folder next to the page" in page.css("main")[0].text)
