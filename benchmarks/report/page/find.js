// Search within a trajectory. It covers all events, including hidden ones, and marks the matches.

const SEARCHED = ["query", "reply", "reasoning", "code", "stdout", "stderr", "error", "final", "text", "answer", "notice", "traceback"];

function findBar(view) {
  const input = el("input", { type: "search", class: "find", placeholder: "Search in this trajectory", "aria-label": "Search in this trajectory" });
  const tally = el("span", { class: "meta", role: "status", "aria-live": "polite" });
  const step = (name, by) => el("button", { type: "button", class: "quiet", "aria-label": name, on: { click: () => move(by) } }, by > 0 ? "↓" : "↑");
  let hits = [];
  let place = -1;
  let later = 0;

  function search() {
    clearTimeout(later);
    later = 0;
    const wanted = input.value.toLowerCase();
    hits = wanted ? view.events.flatMap((event) => matchIn(event, wanted)) : [];
    place = -1;
    mark(null, "");
    if (!wanted) tally.textContent = "";
    else if (!hits.length) tally.textContent = "no match";
    else move(1);
  }

  function move(by) {
    if (!hits.length) return;
    place = (place + by + hits.length) % hits.length;
    const { event, offset } = hits[place];
    mark(view.goTo(event, { offset: offset + input.value.length, focus: false }), input.value);
    tally.textContent = `${count(place + 1)} of ${plural(hits.length, "event")}`;
  }

  input.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(search, 120);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (later) search();
    else move(event.shiftKey ? -1 : 1);
  });
  return el("div", { class: "find-bar", role: "search" }, input, step("Previous match", -1), step("Next match", 1), tally);
}

function matchIn(event, wanted) {
  const texts = SEARCHED.map((name) => event[name]).filter((text) => typeof text === "string");
  if (Array.isArray(event.messages)) texts.push(...event.messages.map((message) => String(message?.content ?? "")));
  for (const text of texts) {
    const offset = text.toLowerCase().indexOf(wanted);
    if (offset >= 0) return [{ event, offset }];
  }
  return [];
}

// Mark up to 200 matches below a node with the highlight API, which does not change the text.
function mark(node, wanted) {
  document.querySelector(".found")?.classList.remove("found");
  if (!globalThis.Highlight) return;
  CSS.highlights.delete("found");
  if (!node || !wanted) return;
  node.classList.add("found");
  const ranges = [];
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text && ranges.length < 200; text = walker.nextNode()) {
    const content = text.data.toLowerCase();
    for (let at = content.indexOf(wanted.toLowerCase()); at >= 0 && ranges.length < 200; at = content.indexOf(wanted.toLowerCase(), at + wanted.length)) {
      const range = new Range();
      range.setStart(text, at);
      range.setEnd(text, Math.min(text.length, at + wanted.length));
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
  ranges[0]?.startContainer.parentElement?.scrollIntoView({ block: "center" });
}
