"""No text of any figure is cut off, whatever the number of panels, methods and the length of their names."""

from functools import cache

import pandas as pd
import pytest
from matplotlib.text import Text

from benchmarks.report.figures.all import FIGURES
from benchmarks.report.figures.curves import runtime_by_length
from benchmarks.report.figures.style import drawing, settle
from benchmarks.report.figures.tradeoff import score_by_runtime
from benchmarks.report.runs import prepare
from benchmarks.report.tables.shared import SharedTables

LENGTHS = (8192, 16384, 32768, 65536)
ODD = "$x_1$ & 100% <b>retriever</b> with {a} name that is longer than any panel is wide (run-2026-11-22_12-00)"


def samples_of(make_rows, benchmarks, methods):
    """Samples with which every figure has something to show: lengths, costs, documents, sub-calls, a model window."""
    tables = []
    for b in range(benchmarks):
        for m, method in enumerate(methods):
            n = 4 * len(LENGTHS)
            tables.append(make_rows(
                method, [float((i + m) % 3 > 0) for i in range(n)], benchmark=f"benchmark_{b}",
                length=[LENGTHS[i % len(LENGTHS)] for i in range(n)], context_limit=20_000,
                task_group=[f"documents_{10 ** (1 + i % 3)}" for i in range(n)],
                cost_usd=[0.001 * 3.0 ** (i % 7 + m % 3) for i in range(n)],
                wall_s=[0.5 * 2.0 ** (i % 9) for i in range(n)],
                sub_calls=[i % 5 for i in range(n)], syntax_errors=[i % 4 for i in range(n)],
            ))  # fmt: skip
    return prepare(pd.concat(tables, ignore_index=True))


@cache
def tables_of(make_rows, benchmarks, methods, free):
    """The tables of these samples, made once for all figures."""
    samples = samples_of(make_rows, benchmarks, methods)
    return SharedTables.of(samples.assign(cost_state="free", cost_usd=0.0) if free else samples, "base")


def cut_off(figure):
    """The texts that are outside of the figure by more than a pixel."""
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    # Ticks beyond the limits of an axis, and all of a blank panel, stand there and are not drawn.
    ticks = {tick.label1 for axis in axes for tick in (*axis.majorTicks, *axis.minorTicks)}
    drawn = {tick.label1 for axis in axes if axis.axes.axison for tick in axis._update_ticks()}
    found = []
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible()):
        if not text.get_text().strip() or (text in ticks and text not in drawn):
            continue
        box = text.get_window_extent(renderer)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.width + 1 or box.y1 > page.height + 1:
            found.append(text.get_text())
    return found


@pytest.mark.parametrize("make", FIGURES, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("benchmarks", "methods"),
    [
        (1, ["base", "rlm"]),
        (1, ["base", "compaction", "codeact_subcalls", "rlm", "map_reduce", "oracle", "floor"]),
        (2, ["base", ODD]),
        (4, ["base", "rlm", "codeact_bm25", "base_truncated", "x"]),
    ],
    ids=["one panel", "long legend", "odd names", "many"],
)
def test_no_text_is_cut_off(make, benchmarks, methods, make_rows):
    with drawing() as plt:
        free = make in (score_by_runtime, runtime_by_length)
        figure, _ = make(plt, tables_of(make_rows, benchmarks, tuple(methods), free))
        settle(figure)
        figure.draw_without_rendering()
        assert cut_off(figure) == []
        panels = [axes for axes in figure.axes if axes.axison]
        assert all(axes.get_window_extent().width > 1.2 * figure.dpi for axes in panels)


def test_the_check_finds_text_that_is_cut_off():
    with drawing() as plt:
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.set_title("a title that is much wider than an inch")
        figure.draw_without_rendering()
        assert cut_off(figure) == ["a title that is much wider than an inch"]


def test_a_letter_that_no_font_has_causes_no_warning(recwarn):
    with drawing() as plt:
        figure, axes = plt.subplots()
        axes.set_title("\u6f22\u5b57 \u0b95 \U0001f9ea")
        figure.draw_without_rendering()
    assert not recwarn.list
