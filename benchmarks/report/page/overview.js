// The overview: facts of the runs, tables and figures.

// A table with sortable columns: {title, note, columns: [{name, numeric}], rows: [[text]], keys: [[number] or null]}.
function sortableTable(table) {
  const body = el("tbody");
  const order = table.rows.map((_, index) => index);
  const heads = table.columns.map((column, index) => {
    const button = el("button", { type: "button", title: `Sort by ${column.name}` }, column.name);
    // A printed page repeats a head only if it has no buttons; print.css shows the name instead.
    const head = el("th", { scope: "col", class: column.numeric ? "number" : null, "data-name": showDirections(column.name) }, button);
    button.addEventListener("click", () => sort(index, head));
    return head;
  });

  function sort(index, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    const sign = down ? -1 : 1;
    const keys = table.keys[index] || table.rows.map((row) => row[index]);
    order.sort((a, b) => compareCells(keys[a], keys[b], sign) || a - b);
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    fill();
    say(`${table.title} sorted by ${table.columns[index].name}, ${down ? "largest" : "smallest"} first`);
  }

  function fill() {
    body.replaceChildren(...order.map((row) => el("tr", {}, table.columns.map((column, index) => {
      const text = table.rows[row][index];
      return index === 0
        ? el("th", { scope: "row" }, text)
        : el("td", { class: column.numeric ? "number" : WRAPPED[column.name] ?? null }, text);
    }))));
  }

  fill();
  const scroller = el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": table.title },
    el("table", {}, el("caption", { class: "hidden-text" }, table.title), el("thead", {}, el("tr", {}, heads)), body));
  return scroller;
}

// Columns whose texts are wrapped, and their classes.
const WRAPPED = { "in words": "words", comparison: "wrapped", failures: "wrapped", verdict: "wrapped" };

// Missing values are last in both directions.
function compareCells(a, b, sign) {
  const [noA, noB] = [a, b].map((value) => value === null || value === undefined || value === "");
  if (noA || noB) return noA - noB;
  return sign * (isNumber(a) && isNumber(b) ? a - b : naturally(a, b));
}

const LONG_TABLE = 40;

function tableSection(table) {
  const name = el("h3", {}, table.title);
  const note = table.note ? el("p", { class: "note" }, table.note) : null;
  const content = table.rows.length > LONG_TABLE && table !== DATA.tables[0]
    ? fold(plural(table.rows.length, "row"), () => sortableTable(table), { kind: "long" })
    : sortableTable(table);
  return el("section", { class: "card" }, name, content, note);
}

function runSection(run) {
  return el("section", { class: "card run" },
    el("h3", {}, run.name),
    run.warnings.map((warning) => el("p", { class: "warning" }, warning)),
    el("dl", { class: "facts" }, run.facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

function keyNumbers() {
  const sum = (name) => (samples.column(name) || []).reduce((total, value) => total + (isNumber(value) ? value : 0), 0);
  const notOk = (samples.column("status") || []).filter((status, row) => status !== "ok" && !isReference(row)).length;
  const methods = samples.words("method").filter((name) => !DATA.reference.includes(name)).length;
  const state = costState(samples.words("cost_state"));
  const shown = [
    [count(samples.size), samples.size === 1 ? "sample" : "samples"],
    plural(samples.words("benchmark").length, "benchmark").split(" "),
    plural(methods, "method").split(" "),
    [count(notOk), "not ok"],
    [count(sum("prompt_tokens") + sum("completion_tokens")), "tokens"],
    ...(state === "free" ? [] : [[money(sum("cost_usd"), state), "spent"]]),
  ];
  return el("dl", { class: "strip" }, shown.map(([value, name]) => el("div", {}, el("dd", {}, value), el("dt", {}, name))));
}

function showOverview(main) {
  const [scores, ...others] = DATA.tables;
  main.append(
    el("h1", {}, DATA.title),
    keyNumbers(),
    scores && DATA.matrix?.lines.length ? matrixSection(DATA.matrix) : "",
    scores ? "" : el("p", { class: "notice" }, "No sample is finished yet."),
    ...DATA.figures.filter((figure) => figure.key).map(figureCard),
    el("h2", {}, "Tables"), ...[...others.slice(0, 1), scores, ...others.slice(1)].filter(Boolean).map(tableSection),
    el("h2", {}, "Runs"), ...DATA.runs.map(runSection));
}
