"""Style and output of figures: looks that differ in greyscale, axes, legends, reproducible files."""

from __future__ import annotations

import contextlib
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import REFERENCE
from benchmarks.report.tables.formats import printable, tokens

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Colour of texts and axes. Black itself is not written to SVG files, so that the page could not replace it in the dark.
INK = "#1b2330"
# Palette of Okabe & Ito (2008) without yellow, ordered so that neighbours differ in lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", INK, "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo")

# The maximum number of characters in a line of a name on an axis or in a legend.
NAME_WIDTH = 44
# In inches: the margin around a legend, and the minimum width and height of a panel.
_MARGIN, _PANEL = 0.1, (1.3, 0.5)

# Fonts for letters that matplotlib's own font lacks; those that are installed are used, in this order.
_OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip

# Ticks of an axis of time.
_SECONDS = (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 12 * 3600, 48 * 3600)

_SETTINGS: Any = {
    "figure.dpi": 160,
    "font.size": 9,
    # The page replaces these colours in the dark, see figures.js.
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    # Equal figures give identical files.
    "svg.hashsalt": "rlm-eval",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Look:
    """Colour, marker, line and hatch of a method in all figures of a report."""

    colour: str
    marker: str
    line: Any
    hatch: str


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Return a look for each method; reference rows are grey."""
    chosen = [m for m in methods if m not in REFERENCE]
    found = {
        method: Look(
            COLOURS[i % len(COLOURS)],
            MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],
            LINES[(i + i // len(COLOURS)) % len(LINES)],
            HATCHES[(i + i // len(COLOURS)) % len(HATCHES)],
        )
        for i, method in enumerate(chosen)
    }
    reference = {"oracle": (0, (6, 3)), "floor": (0, (1, 2))}
    return found | {method: Look("#777777", "", reference[method], "") for method in methods if method in REFERENCE}


@contextlib.contextmanager
def drawing() -> Iterator[Any]:
    """matplotlib.pyplot without a display, with the settings of reports; closes all figures at the end."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _OTHER_FONTS if name in installed)]
    with warnings.catch_warnings(), plt.rc_context(_SETTINGS | {"font.family": families}):
        # A letter that no font has is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        try:
            yield plt
        finally:
            plt.close("all")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write name.png and name.svg, without dates."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    settle(figure)
    # savefig would draw the figure twice.
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]


def length_axis(
    axes: Axes, lengths: Sequence[float], counts: Mapping[float, str] | None = None, *, ticks: int = 8
) -> None:
    """Make a log2 axis of tokens with about `ticks` of the tested lengths; counts: the n of a point, below its tick."""
    shown = sorted(set(lengths))
    axes.set_xscale("log", base=2)
    marked = shown[:: max(1, round(len(shown) / ticks))]
    _ticks(axes.xaxis, marked, lambda length: "\n".join(filter(None, [tokens(length), (counts or {}).get(length)])))
    axes.set_xlim(shown[0] / 2**0.4, shown[-1] * 2**0.4)
    axes.set_xlabel("input length (tokens)")


def score_axis(axes: Axes) -> None:
    """Make the y axis one of scores in percent."""
    axes.set_ylim(-4, 104)
    axes.set_ylabel("score (%)")


def values_axis(axes: Axes, values: Sequence[float], label: str) -> None:
    """Make a logarithmic axis with ticks at the tested values."""
    axes.set_xscale("log")
    _ticks(axes.xaxis, sorted(set(values)), lambda value: f"{value:,.0f}")
    axes.set_xlabel(label)


def dollar_axis(axes: Axes, which: str) -> None:
    """Make the axis `x` or `y` logarithmic with ticks in dollars; call it after drawing."""
    low, high = _log_limits(axes, which)
    decades = math.log10(high / low)
    steps = (
        (1, 1.5, 2, 3, 4, 5, 7) if decades < 0.8 else (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)
    )
    ticks = [step * 10.0**power for power in range(-7, 7) for step in steps]
    _ticks(getattr(axes, f"{which}axis"), _within(ticks, low, high), lambda dollars: f"${dollars:g}")


def second_axis(axes: Axes, which: str) -> None:
    """Make the axis `x` or `y` logarithmic with ticks in seconds, minutes and hours; call it after drawing."""
    low, high = _log_limits(axes, which)
    _ticks(getattr(axes, f"{which}axis"), _within(_SECONDS, low, high), _duration)


def arm_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column `arm`: the method, and the model if there are several."""
    several = table.loc[~table["method"].isin(REFERENCE), "model"].nunique() > 1
    names = table["method"] + ", " + table["model"] if several else table["method"]
    return table.assign(arm=names.where(~table["method"].isin(REFERENCE), table["method"]))


def grid(
    plt: Any, panels: int, *, width: float = 3.6, height: float = 2.9, columns: int = 3
) -> tuple[Figure, list[Axes]]:
    """Make a figure with `panels` panels in rows of at most `columns`; the rest of the last row is blank.

    Four panels stand in two rows of two.
    A single panel is wider, so that a legend fits below it and the page need not stretch it.
    """
    wide = 2 if (panels, columns) == (4, 3) else min(panels, columns)
    width = 2 * width if panels == 1 else width
    high = -(-panels // wide)
    figure, axes = plt.subplots(high, wide, figsize=(width * wide, height * high), squeeze=False)
    flat = list(axes.flat)
    for blank in flat[panels:]:
        blank.axis("off")
    return figure, flat[:panels]


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels below them; the figure grows by its height.

    The legend has as many columns as fit. A figure that is narrower than one column is widened.
    """
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    labels = [wrapped(label, NAME_WIDTH) for label in entries]
    for columns in range(min(len(entries), 6), 0, -1):
        legend = figure.legend(
            entries.values(), labels, loc="outside lower center", ncols=columns, handlelength=3.2, columnspacing=1.4
        )
        size = legend.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
        wide, high = size.width / figure.dpi + 2 * _MARGIN, size.height / figure.dpi
        if wide <= figure.get_figwidth() or columns == 1:
            break
        legend.remove()
    figure.set_size_inches(max(wide, figure.get_figwidth()), high + figure.get_figheight())


def wrapped(text: str, width: int) -> str:
    """Wrap printable text to lines of at most `width` characters; longer words are broken and `$` is escaped."""
    lines = textwrap.wrap(printable(text), width, break_on_hyphens=False) or [""]
    return "\n".join(lines).replace("$", r"\$")


def settle(figure: Figure) -> None:
    """Lay the figure out, enlarged until no text is cut off and no panel is too small; drawing keeps the layout."""
    engine = figure.get_layout_engine()
    assert engine is not None
    for _ in range(4):
        engine.execute(figure)
        wide, high = figure.get_size_inches()
        box = figure.get_tightbbox()
        # A centred title or legend extends beyond the figure on both sides.
        more_wide = 2 * max(-box.x0, box.x1 - wide, 0.0)
        more_high = 2 * max(-box.y0, box.y1 - high, 0.0)
        panels = [axes.get_position() for axes in figure.axes if axes.axison]
        columns = len({round(panel.x0, 3) for panel in panels})
        rows = len({round(panel.y0, 3) for panel in panels})
        more_wide += columns * max(0.0, _PANEL[0] - min(panel.width for panel in panels) * wide)
        more_high += rows * max(0.0, _PANEL[1] - min(panel.height for panel in panels) * high)
        if more_wide < 0.01 and more_high < 0.01:
            break
        figure.set_size_inches(wide + more_wide, high + more_high)
    figure.set_layout_engine("none")


def _log_limits(axes: Axes, which: str) -> tuple[float, float]:
    """Make an axis logarithmic and return its limits, at least half a decade apart so that it has ticks."""
    axes.set(**{f"{which}scale": "log"})
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if high / low < 4:
        middle = math.sqrt(low * high)
        low, high = middle / 2, middle * 2
        axes.set(**{f"{which}lim": (low, high)})
    return low, high


def _within(ticks: Sequence[float], low: float, high: float) -> list[float]:
    """Return the ticks inside the limits; every second one if there are more than eight."""
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) <= 8 else inside[::2]


def _ticks(axis: Axis, ticks: Sequence[float], label: Callable[[float], str]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    axis.set_minor_locator(NullLocator())


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
