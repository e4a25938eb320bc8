// The list of samples: filters, sorting, and rows that are created only while they are in view.

const ROW_HEIGHT = 36;
const LIST_COLUMNS = [
  { name: "benchmark", label: "Benchmark", minor: true },
  { name: "method", label: "Method" },
  // Ids of a benchmark have a common start, so a long id is cut at its start.
  { name: "sample_id", label: "Sample", show: (id) => el("bdi", { dir: "ltr" }, String(id ?? "–")), fromEnd: true },
  { name: "input_tokens", label: "Input", show: count, number: true, minor: true },
  { name: "status", label: "Status", show: statusBadge },
  { name: "score", label: "Score", show: (score, row) => scoreBadge(score, answered(row)), number: true },
  { name: "prediction", label: "Prediction", show: (text) => short(text, 90) || "–", minor: true },
  { name: "target", label: "Target", show: (text) => short(text, 90) || "–", minor: true },
  { name: "cost_usd", label: "Cost", show: (value, row) => money(value, samples.value(row, "cost_state")), number: true, minor: true },
  { name: "total_tokens", label: "Tokens", show: count, number: true, minor: true },
  { name: "sub_calls", label: "Sub-calls", show: count, number: true, minor: true },
  { name: "turns", label: "Turns", show: count, number: true, minor: true },
  { name: "wall_s", label: "Time", show: seconds, number: true },
];
const CHOICES = ["run", "benchmark", "method", "model", "status", "stop_reason", "length", "task_group", "epoch"];
const RANGES = [["score", "Score", 100], ["cost_usd", "Cost $", 1]];

let searchable = null;

function searchTexts() {
  if (!searchable) {
    const columns = ["sample_id", "prediction", "target", "error", "task_group", "cluster", "stop_reason"].map((name) => samples.column(name) || []);
    searchable = Array.from({ length: samples.size }, (_, row) => columns.map((values) => values[row] ?? "").join("\n").toLowerCase());
  }
  return searchable;
}

// Rows that match `chosen`, a map of filter names to texts, in the order of `chosen.sort`.
function filteredRows(chosen) {
  const tests = [];
  for (const name of CHOICES) {
    const wanted = chosen[name];
    if (wanted) {
      const values = samples.column(name);
      tests.push((row) => String(values[row] ?? "") === wanted);
    }
  }
  for (const [name, , scale] of RANGES) {
    const values = samples.column(name);
    for (const [key, passes] of [["min", (a, b) => a >= b], ["max", (a, b) => a <= b]]) {
      const bound = Number.parseFloat(chosen[`${name}_${key}`]);
      if (!Number.isNaN(bound)) tests.push((row) => isNumber(values[row]) && passes(values[row] * scale, bound));
    }
  }
  const words = (chosen.text || "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) tests.push((row) => words.every((word) => searchTexts()[row].includes(word)));
  const rows = [];
  for (let row = 0; row < samples.size; row++) if (tests.every((test) => test(row))) rows.push(row);
  const [, name, down] = /^(\w+?)(-down)?$/.exec(chosen.sort || "") || [];
  const keys = name && samples.column(name);
  if (keys) rows.sort((a, b) => compareCells(keys[a], keys[b], down ? -1 : 1) || a - b);
  return rows;
}

function totalTokens() {
  const [prompt, completion] = ["prompt_tokens", "completion_tokens"].map((name) => samples.column(name) || []);
  DATA.samples.columns.total_tokens = { values: Array.from({ length: samples.size }, (_, row) =>
    (prompt[row] ?? 0) + (completion[row] ?? 0)) };
}

// The last state of the list, which is kept when the user goes back or to the next sample.
const listed = { chosen: {}, rows: null, active: 0 };
const MOST_PRINTED = 2000;

function showList(main, query) {
  listed.chosen = Object.fromEntries(new URLSearchParams(query));
  if (!samples.column("total_tokens")) totalTokens();
  const tally = el("p", { class: "tally", role: "status", "aria-live": "polite" });
  const rowsBox = el("div", { class: "rows", role: "rowgroup" });
  const header = el("div", { class: "list-row list-head", role: "row", "aria-rowindex": "1" });
  const grid = el("div", { class: "list", role: "grid", tabindex: "0", "aria-label": "Samples" }, header, rowsBox);
  const columns = LIST_COLUMNS.filter((column) => samples.column(column.name));
  const widths = (some) => some.map((column) => LIST_WIDTHS[column.name]).join(" ");
  grid.style.setProperty("--columns", widths(columns));
  grid.style.setProperty("--few-columns", columns.filter((column) => !column.minor).map((column) => FEW_WIDTHS[column.name]).join(" "));
  const look = (column) => [column.number && "number", column.minor && "minor"].filter(Boolean).join(" ") || null;
  const cellLook = (column) => (column.fromEnd ? "from-end" : look(column));

  const heads = columns.map((column) => {
    const button = el("button", { type: "button", tabindex: "-1" }, column.label);
    button.addEventListener("click", () => {
      const next = listed.chosen.sort === column.name ? `${column.name}-down` : column.name;
      change({ sort: next });
    });
    return el("div", { role: "columnheader", class: look(column), "data-name": column.name }, button);
  });
  header.append(...heads);

  function change(changes) {
    Object.assign(listed.chosen, changes);
    for (const [name, value] of Object.entries(listed.chosen)) if (!value) delete listed.chosen[name];
    const parameters = new URLSearchParams(listed.chosen).toString();
    history.replaceState(null, "", `#samples${parameters ? `?${parameters}` : ""}`);
    listed.active = 0;
    grid.scrollTop = 0;
    update();
  }

  function update() {
    const rows = (listed.rows = filteredRows(listed.chosen));
    // A mean over methods does not count the reference rows among them.
    const ofMethods = rows.filter((row) => !isReference(row));
    const scores = (ofMethods.length ? ofMethods : rows).map((row) => samples.value(row, "score")).filter(isNumber);
    const mean = scores.length ? scores.reduce((a, b) => a + b, 0) / scores.length : null;
    const without = ofMethods.length && ofMethods.length < rows.length ? " without reference rows" : "";
    const dollars = rows.reduce((sum, row) => sum + (samples.value(row, "cost_usd") || 0), 0);
    const state = costState(rows.map((row) => samples.value(row, "cost_state")));
    tally.textContent = `${count(rows.length)} of ${plural(samples.size, "sample")}` +
      (rows.length ? ` · mean score ${percent(mean)}${without} · ${money(dollars, state)}` : "");
    for (const head of heads) {
      const { name } = head.dataset;
      if (listed.chosen.sort === name) head.setAttribute("aria-sort", "ascending");
      else if (listed.chosen.sort === `${name}-down`) head.setAttribute("aria-sort", "descending");
      else head.removeAttribute("aria-sort");
    }
    grid.setAttribute("aria-rowcount", rows.length + 1);
    rowsBox.style.height = `${rows.length * ROW_HEIGHT}px`;
    draw();
  }

  function draw() {
    const { rows } = listed;
    drawRows(Math.max(0, Math.floor(grid.scrollTop / ROW_HEIGHT) - 8),
      Math.min(rows.length, Math.ceil((grid.scrollTop + (grid.clientHeight || 700)) / ROW_HEIGHT) + 8));
  }

  function drawRows(first, last) {
    const { rows } = listed;
    rowsBox.replaceChildren();
    if (!rows.length) rowsBox.append(el("p", { class: "notice" }, "No sample matches the filters."));
    for (let place = first; place < last; place++) rowsBox.append(listRow(rows[place], place));
    if (rows.length) grid.setAttribute("aria-activedescendant", `row-${listed.active}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function listRow(row, place) {
    const node = el("div", {
      class: "list-row", role: "row", id: `row-${place}`, "aria-rowindex": place + 2,
      "aria-selected": place === listed.active ? "true" : "false",
      on: { click: () => open(place) },
    }, columns.map((column) => {
      const value = samples.value(row, column.name);
      const shown = column.show ? column.show(value, row) : String(value ?? "–");
      const whole = typeof value === "string" && !column.number ? short(value, 300) : null;
      return el("div", { role: "gridcell", class: cellLook(column), title: whole }, shown);
    }));
    node.style.top = `${place * ROW_HEIGHT}px`;
    return node;
  }

  function open(place) {
    listed.active = place;
    location.hash = sampleAddress(listed.rows[place]);
  }

  function move(to) {
    listed.active = Math.max(0, Math.min(listed.rows.length - 1, to));
    const top = listed.active * ROW_HEIGHT;
    const room = grid.clientHeight - 2 * ROW_HEIGHT;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top > grid.scrollTop + room) grid.scrollTop = top - room;
    draw();
  }

  function nextFailure() {
    const { rows, active } = listed;
    const after = rows.findIndex((row, place) => place > active && failed(row));
    const to = after >= 0 ? after : rows.findIndex(failed);
    if (to >= 0) move(to);
    say(to >= 0 ? `row ${to + 1}: ${sampleTitle(rows[to])}` : "no failure");
    grid.focus({ preventScroll: true });
  }

  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(grid.clientHeight / ROW_HEIGHT) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) move(listed.active + steps[event.key]);
    else if (event.key === "Enter" && event.target === grid && listed.rows.length) open(listed.active);
    else return;
    event.preventDefault();
  });
  let drawing = false;
  grid.addEventListener("scroll", () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      draw();
    });
  });

  main.append(el("h1", {}, "Samples"), filterForm(change), tally, grid,
    el("p", { class: "keys" }, "Keys: ", el("kbd", {}, "/"), " search, ", el("kbd", {}, "↑"), el("kbd", {}, "↓"),
      " move, ", el("kbd", {}, "Enter"), " open, ",
      el("button", { type: "button", class: "bare", "data-key": "n", on: { click: nextFailure } }, el("kbd", {}, "n"), " next failure")));
  update();
  Object.assign(listed, { draw: () => grid.isConnected && draw(),
    drawAll: () => grid.isConnected && drawRows(0, Math.min(MOST_PRINTED, listed.rows.length)) });
  if (listed.active > 0) move(listed.active);
}

const LIST_WIDTHS = {
  benchmark: "minmax(5.6rem, 0.9fr)", method: "minmax(6rem, 1.3fr)", sample_id: "minmax(6rem, 1.9fr)", input_tokens: "4.7rem",
  status: "minmax(7rem, 0.5fr)", score: "3.9rem", prediction: "minmax(5.9rem, 2fr)", target: "minmax(4.5rem, 1.2fr)",
  cost_usd: "4.2rem", total_tokens: "4.6rem", sub_calls: "4.7rem", turns: "2.9rem", wall_s: "5rem",
};
const FEW_WIDTHS = { method: "minmax(4rem, 1fr)", sample_id: "minmax(4rem, 1.1fr)", status: "0.8rem", score: "3.9rem", wall_s: "4.6rem" };

function filterForm(change) {
  const form = el("form", { class: "filters", role: "search", "aria-label": "Filter samples" });
  form.addEventListener("submit", (event) => event.preventDefault());
  const field = (label, control) => el("label", {}, el("span", {}, label), control);
  const chosen = listed.chosen;
  const text = el("input", { type: "search", id: "search", placeholder: "id, prediction, target", value: chosen.text || "" });
  let later = 0;
  text.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(() => change({ text: text.value }), 60);
  });
  form.append(field("Search", text));
  for (const name of CHOICES) {
    const words = samples.words(name);
    if (words.length < 2) continue;
    const label = (word) => (name === "run" ? DATA.runs[word]?.name : name === "status" ? statusName(word) : String(word).replaceAll("_", " "));
    const select = el("select", { "data-filter": name }, el("option", { value: "" }, "all"),
      words.map((word) => el("option", { value: word, selected: String(word) === chosen[name] }, label(word))));
    select.addEventListener("change", () => change({ [name]: select.value }));
    form.append(field(name.replaceAll("_", " "), select));
  }
  for (const [name, label] of RANGES) {
    const ends = ["min", "max"].map((end) => {
      const key = `${name}_${end}`;
      const input = el("input", { type: "number", step: "any", placeholder: end, "aria-label": `${label} ${end}`,
        "data-filter": key, value: chosen[key] || "" });
      input.addEventListener("input", () => change({ [key]: input.value }));
      return input;
    });
    form.append(el("fieldset", {}, el("legend", {}, label), ends));
  }
  form.append(el("button", { type: "button", class: "quiet", on: { click: () => {
    form.reset();
    for (const control of form.querySelectorAll("input, select")) control.value = "";
    change(Object.fromEntries(Object.keys(listed.chosen).map((name) => [name, ""])));
  } } }, "Clear"));
  return form;
}
