// A chart of the time that a sample took, with the same numbers as a list for screen readers.

const MOST_SPANS = 1500;
const WIDTH = 1000;

function timeline(events, goTo) {
  const { lanes, spent, end, replayed } = timeSpans(events);
  if (!(end > 0)) return null;
  const rows = Object.keys(lanes).filter((name) => lanes[name].length).flatMap((name) => [
    el("span", {}, name),
    svg("svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${plural(lanes[name].length, "span")}` },
      ...fewer(lanes[name]).map((span) => bar(span, name, end, goTo))),
  ]);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => el("span", {}, seconds(share * end)));
  const shares = Object.entries(spent).filter(([, value]) => value > 0);
  return el("section", { class: "card time" }, el("h3", {}, "Time ", el("span", { class: "meta" }, seconds(end))),
    el("div", { class: "timeline" }, rows, el("div", { class: "ticks" }, ticks)),
    el("dl", { class: "shares" }, shares.map(([name, value]) => el("div", { class: name.replace(" ", "-") },
      el("dt", {}, name), el("dd", {}, `${seconds(value)} · ${Math.round((100 * value) / end)}%`)))),
    replayed ? el("p", { class: "meta" }, `${plural(replayed, "replayed call")} with the original time, one after another`) : null);
}

function bar(span, name, end, goTo) {
  const title = svg("title");
  title.textContent = `${name} #${span.event.call_id ?? span.event.id}: ${seconds(span.end - span.start)}`;
  const node = svg("rect", {
    x: (span.start / end) * WIDTH, y: 1, width: Math.max(1.5, ((span.end - span.start) / end) * WIDTH), height: 8,
    class: `span ${name.replace(" ", "-")}`,
  }, title);
  node.addEventListener("click", () => goTo(span.event));
  return node;
}

// The longest spans, in order of time, if there are too many to draw.
function fewer(spans) {
  if (spans.length <= MOST_SPANS) return spans;
  return [...spans].sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, MOST_SPANS).sort((a, b) => a.start - b.start);
}
