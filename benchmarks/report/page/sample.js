// A sample with its score, prediction, facts and trajectory, and the comparison of two samples.

const FACTS = [
  ["status", (value) => statusBadge(value)], ["stop_reason", (value) => String(value ?? "–").replaceAll("_", " ")],
  ["model"], ["sub_model"], ["task_group"], ["complexity"], ["cluster"], ["input_tokens", count], ["length", count],
  ["prompt_tokens", count], ["cached_tokens", count], ["completion_tokens", count], ["reasoning_tokens", count],
  ["root_calls", count], ["sub_calls", count], ["max_depth_reached", count], ["turns", count], ["cells", count],
  ["syntax_errors", count], ["wall_s", seconds], ["model_s", seconds], ...["truncated", "prompt_cut", "answer_cut", "untagged"].map((name) => [name, (value) => (value ? "yes" : null)]),
];

function sampleTitle(row) {
  return ["benchmark", "sample_id"].map((name) => apart(samples.value(row, name))).join(" · ");
}

function outcome(row) {
  const rows = [
    ["Score", [scoreBadge(samples.value(row, "score"), answered(row)), " ", samples.value(row, "metric")]],
    ["Cost", money(samples.value(row, "cost_usd"), samples.value(row, "cost_state"))],
    ["Status", statusBadge(samples.value(row, "status"))],
    ["Time", seconds(samples.value(row, "wall_s"))],
    ["Prediction", predictionBlock(row), "wide"],
    ...(samples.words("target").length ? [["Target", textBlock(samples.value(row, "target") ?? "(not recorded)"), "wide"]] : []),
  ];
  const lenient = samples.value(row, "lenient_score");
  if (isNumber(lenient) && lenient !== samples.value(row, "score")) rows.splice(1, 0, ["Lenient score", percent(lenient)]);
  if (samples.value(row, "error")) rows.push(["Error", textBlock(samples.value(row, "error")), "wide"]);
  return el("dl", { class: "outcome" }, rows.map(([name, value, kind]) => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, value))));
}

// The answer, in which the part that was scored is marked; a scored form that is not in the answer is shown below it.
function predictionBlock(row) {
  const [answer, scored] = ["prediction", "extracted"].map((name) => samples.value(row, name));
  if (answer === null) return el("p", { class: "nothing" }, "no answer");
  const block = textBlock(answer);
  const marked = markScored(block, answer, scored);
  const note = !scored || scored === answer ? null : marked ? "marked: the part that was scored" : `scored: ${short(scored, 1000)}`;
  return el("div", {}, block, note ? el("p", { class: "meta" }, note) : null);
}

function factList(row) {
  const facts = FACTS.flatMap(([name, show]) => {
    const value = samples.value(row, name);
    if (value === null || value === undefined || value === "") return [];
    const shown = show ? show(value) : String(value);
    return shown === null ? [] : [[columnName(name), shown]];
  });
  const details = DATA.details.flatMap((name) => {
    const value = samples.value(row, name);
    return value === null || value === "" ? [] : [[columnName(name), isNumber(value) ? String(Number(value.toPrecision(4))) : String(value)]];
  });
  const list = el("dl", { class: "facts" }, [...facts, ...details].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  return el("section", { class: "card" }, fold(el("h3", {}, "Facts"), () => list,
    { kind: "long", open: matchMedia("(min-width: 60rem)").matches }));
}

async function trajectoryOf(row) {
  if (samples.value(row, "hidden")) return { notice: "The texts of this benchmark are protected: build the report with --reveal to show them." };
  try {
    const events = await trajectory(row);
    if (!events) return { notice: "This sample has no trajectory." };
    return { events, view: new TrajectoryView(events, row) };
  } catch (error) {
    return { notice: `The trajectory cannot be shown: ${error.message}` };
  }
}

async function showSample(main, row, event = null) {
  const others = siblings(row);
  main.append(stepper(row), el("h1", {}, sampleTitle(row)), el("p", { class: "arm" }, armName(row)));
  if (others.length) main.append(chooser(row, others, (other) => `#compare/${row}/${other}`, "Compare with"));
  const body = el("div", { class: "sample" }, el("p", { class: "notice" }, "Loading the trajectory …"));
  main.append(el("section", { class: "card" }, outcome(row)), body);
  const { events, view, notice } = await trajectoryOf(row);
  if (!body.isConnected) return;
  if (notice) {
    body.replaceChildren(el("p", { class: "notice" }, notice), factList(row), contextCard(row) || "");
    return;
  }
  const side = el("aside", { class: "side", "aria-label": "About this sample" }, findBar(view), outline(view));
  body.replaceChildren(timeline(events, (event) => view.goTo(event)) || "", factList(row), contextCard(row) || "",
    el("div", { class: "columns" }, view.node, side));
  opened = { row, view };
  if (event !== null) view.goToId(event);
}

// The call tree in short: a link for each turn, with its calls and tokens.
function outline(view) {
  const items = [];
  const open = view.tree.children.map((node) => [node, 0]).reverse();
  while (open.length && items.length < 300) {
    const [node, level] = open.pop();
    const { event, totals } = node;
    if (["turn", "child", "answer"].includes(event.kind)) {
      const name = event.kind === "turn" ? turnName(node) : event.kind === "child" ? "Child RLM" : "Answer";
      const broken = node.children.some((child) => child.event.kind === "cell" && child.event.status !== "ok");
      items.push(el("li", { class: `level-${Math.min(level, 5)}` }, el("button", { type: "button", on: { click: () => view.goTo(event) } },
        el("span", {}, name, broken ? el("span", { class: "tag bad" }, "error") : null), el("span", { class: "meta" }, totalsText(totals)))));
    }
    const deeper = ["turn", "child"].includes(event.kind) ? level + 1 : level;
    for (const below of [...node.children, ...node.inner].reverse()) open.push([below, deeper]);
  }
  if (!items.length) return null;
  return el("nav", { class: "card outline", "aria-label": "Call tree" }, el("h3", {}, "Call tree"),
    el("p", { class: "meta" }, totalsText(view.tree.totals)), el("ol", {}, items));
}

function stepper(row) {
  const rows = listed.rows || Array.from({ length: samples.size }, (_, index) => index);
  const place = rows.indexOf(row);
  const parameters = new URLSearchParams(listed.chosen).toString();
  const link = (name, other, key) => (other === undefined ? null
    : el("a", { href: sampleAddress(other), "data-key": key, title: `key ${key}` }, name));
  const following = [...rows.slice(place + 1), ...rows.slice(0, Math.max(0, place))];
  return el("nav", { class: "stepper", "aria-label": "Samples" },
    el("a", { href: `#samples${parameters ? `?${parameters}` : ""}`, "data-key": "Escape" }, "← All samples"),
    link("Previous", place > 0 ? rows[place - 1] : undefined, "k"), link("Next", place >= 0 ? rows[place + 1] : undefined, "j"),
    link("Next failure", following.find(failed), "n"));
}

function chooser(row, others, address, label, chosen = null) {
  const select = el("select", {}, chosen === null ? el("option", { value: "" }, "choose …") : null,
    others.map((other) => el("option", { value: other, selected: other === chosen }, `${armName(other)} (${percent(samples.value(other, "score"))})`)));
  select.addEventListener("change", () => select.value !== "" && (location.hash = address(Number(select.value))));
  return el("label", { class: "chooser" }, el("span", {}, label), select);
}

// Clearer names of columns.
const COLUMN_NAMES = { cost_usd: "cost", wall_s: "time", model_s: "model time", max_depth_reached: "deepest call",
  sub_calls: "sub-calls" };

const columnName = (name) => (Object.hasOwn(COLUMN_NAMES, name) ? COLUMN_NAMES[name] : name).replaceAll("_", " ");

const COMPARED = [["score", percent], ["status", String], ["stop_reason", String], ["cost_usd", money], ["prompt_tokens", count],
  ["completion_tokens", count], ["turns", count], ["cells", count], ["sub_calls", count], ["wall_s", seconds]];

function comparisonTable(pair) {
  const columns = COMPARED.filter(([name]) => samples.column(name));
  return sortableTable({
    title: "Both samples", keys: [null, ...columns.map(([name]) => pair.map((row) => samples.value(row, name)))],
    columns: [{ name: "method" }, ...columns.map(([name]) => ({ name: columnName(name), numeric: !name.startsWith("st") }))],
    rows: pair.map((row) => [armName(row), ...columns.map(([name, show]) => {
      const value = samples.value(row, name);
      return name === "cost_usd" ? money(value, samples.value(row, "cost_state")) : show(value ?? "–").replaceAll("_", " ");
    })]),
  });
}

async function showComparison(main, left, right) {
  const pair = [left, right];
  main.append(stepper(left), el("h1", {}, sampleTitle(left)),
    el("div", { class: "choosers" }, pair.map((row, place) => chooser(row, [row, ...siblings(row)],
      (other) => (place ? `#compare/${left}/${other}` : `#compare/${other}/${right}`), place ? "Right" : "Left", row))),
    el("section", { class: "card" }, comparisonTable(pair)));
  const halves = pair.map((row) => el("section", { class: "half card", "aria-label": armName(row) }, el("h2", {}, armName(row)), outcome(row)));
  main.append(el("div", { class: "beside" }, halves));
  await Promise.all(pair.map(async (row, place) => {
    const { events, view, notice } = await trajectoryOf(row);
    if (notice) halves[place].append(el("p", { class: "notice" }, notice));
    else halves[place].append(findBar(view), timeline(events, (event) => view.goTo(event)) || "", view.node);
  }));
}
