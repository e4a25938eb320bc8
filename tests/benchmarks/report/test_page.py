"""The page in real Chromium: shown, clicked, filtered, sorted."""

import page_run
import pytest

from benchmarks.report import write_report
from benchmarks.report.figures.tradeoff import score_by_cost
from benchmarks.report.page.html import write_page
from benchmarks.report.runs import load_runs

pytestmark = pytest.mark.browser

row, trajectory = page_run.row, page_run.trajectory


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

    def test_the_first_screen_is_the_matrix_and_score_against_cost_in_the_colours_of_the_theme(
        self, page, tmp_path, monkeypatch
    ):
        run = page_run.demo(tmp_path / "run")
        monkeypatch.setattr("benchmarks.report.figures.all.FIGURES", (score_by_cost,))
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
        assert "7 sub-calls" in summary.text and "$0.015" in summary.text and "tokens" in summary.text
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

    def test_paper_is_light_and_has_every_sample_and_the_names_of_columns(self, page, demo):
        media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        try:
            page.open(demo, "figures")
            shown = "[...document.images].map((image) => getComputedStyle(image).display)"
            assert page.run(f"return {shown}") == ["none", "block"]
            page.open(demo)
            assert page.run("return getComputedStyle(document.body).color") == "rgb(27, 35, 48)"
            named = "return [...document.querySelectorAll('main th[data-name]')]"
            named += ".map((th) => getComputedStyle(th, '::before').content)"
            assert page.run(named) == ['"method"', '"score"', '"n"']
            page.open(demo, "samples")
            page.run("window.dispatchEvent(new Event('beforeprint'))")
            assert len(page.css(".rows .list-row")) == 48
        finally:
            page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})

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
