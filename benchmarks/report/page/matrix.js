// The matrix of the first screen: methods by benchmarks, each cell with its interval, what it spent, and the paper's figure.

const BAR = { width: 200, height: 9 };

// The interval of a score on a scale from 0 to 100.
function intervalBar(entry) {
  const x = (percent) => (BAR.width * percent) / 100;
  const middle = BAR.height / 2;
  return svg("svg", { class: "interval", viewBox: `-4 0 ${BAR.width + 8} ${BAR.height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
  svg("line", { class: "scale", x1: 0, x2: BAR.width, y1: middle, y2: middle }),
  svg("line", { class: "range", x1: x(entry.low), x2: x(entry.high), y1: middle, y2: middle }),
  svg("ellipse", { cx: x(entry.point), cy: middle, rx: 3.2, ry: 3.6 }));
}

function matrixCell(entry, benchmark, line, n) {
  if (!entry) return el("td", { class: "entry" }, el("span", { class: "meta" }, "–"));
  const query = new URLSearchParams({ benchmark, method: line.method });
  if (line.model) query.set("model", line.model);
  const spent = [entry.cost, entry.seconds, n ? "" : `n=${entry.n}`].filter(Boolean).join(" · ");
  return el("td", { class: entry.best ? "entry best" : "entry", title: entry.why || null },
    el("div", { class: "entry-line" },
      el("span", {}, el("a", { class: "entry-score", href: `#samples?${query}`, title: `The samples of ${line.method} on ${benchmark}` },
        entry.score),
      entry.mark ? el("sup", {}, entry.mark) : null,
      entry.interval ? el("span", { class: "meta" }, ` ${entry.interval}`) : null),
      spent ? el("span", { class: "meta" }, spent) : null),
    isNumber(entry.point) ? intervalBar(entry) : null,
    entry.paper ? el("div", { class: "paper" }, `paper ${entry.paper} `,
      el("span", { class: `against ${entry.verdict.split(" ")[0]}` }, entry.verdict)) : null);
}

function matrixTable(matrix) {
  const heads = matrix.benchmarks.map((name, i) => el("th", { scope: "col" }, el("div", { class: "arm-name" }, name),
    el("div", { class: "meta" }, [matrix.lengths[i], matrix.counts[i] ? `n=${matrix.counts[i]}` : ""].filter(Boolean).join(", "))));
  let model = null;
  const rows = matrix.lines.flatMap((line) => {
    const group = matrix.several_models && line.model !== model
      ? [el("tr", { class: "group" }, el("th", { colspan: matrix.benchmarks.length + 1, scope: "rowgroup" }, line.model || "reference"))]
      : [];
    model = line.model;
    return [...group, el("tr", { class: line.model ? null : "reference" }, el("th", { scope: "row" }, el("div", { class: "arm-name" }, line.method)),
      line.entries.map((entry, i) => matrixCell(entry, matrix.benchmarks[i], line, matrix.counts[i])))];
  });
  return el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Methods by benchmarks" },
    el("table", { class: "matrix" }, el("caption", { class: "hidden-text" }, "Methods by benchmarks"),
      el("thead", {}, el("tr", {}, el("td", {}), heads)), el("tbody", {}, rows)));
}

function matrixSection(matrix) {
  // Indented notes continue the one before them, which ends with a colon.
  const sentences = matrix.notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}`.trim()).join(". ").replace(":. ", ": ");
  return el("section", { class: "card first" }, matrixTable(matrix), el("p", { class: "note" }, sentences, "."));
}
