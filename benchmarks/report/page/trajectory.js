// One trajectory: loops with their turns, and in each turn the prompt, the reply, the cells and their calls.

const GROUP = 100;

class TrajectoryView {
  constructor(events, row) {
    this.events = events;
    this.row = row;
    this.clock = originalClock(events);
    this.made = new Map();
    this.path = new Map();
    this.tree = eventTree(events);
    this.rememberPaths();
    this.node = el("div", { class: "trajectory" }, this.group(this.tree.children, this.tree));
  }

  // The ancestors of each event, which must be unfolded to show it.
  rememberPaths() {
    const open = [[this.tree, null]];
    while (open.length) {
      const [node, above] = open.pop();
      if (node.event.id !== null) this.path.set(node.event.id, { node, above });
      for (const below of [...node.children, ...node.inner]) open.push([below, node]);
    }
  }

  // The children of a node, GROUP at a time.
  group(children, parent) {
    const box = el("div", { class: "group" });
    let shown = 0;
    const more = el("button", { type: "button", class: "more" });
    const add = (through) => {
      const end = Math.max(Math.min(children.length, shown + GROUP), Math.min(children.length, through ?? 0));
      more.before(...children.slice(shown, end).map((child) => this.show(child, parent)));
      shown = end;
      more.textContent = `Show ${count(Math.min(GROUP, children.length - shown))} more of ${count(children.length - shown)}`;
      if (shown === children.length) more.remove();
    };
    more.addEventListener("click", () => add());
    box.append(more);
    add();
    for (const [place, child] of children.entries()) child.reveal = () => place >= shown && add(place + 1);
    return box;
  }

  show(node, parent) {
    const { event } = node;
    const makers = {
      turn: () => this.turn(node), call: () => this.call(node, parent), cell: () => this.cell(node),
      child: () => this.child(node), completion: () => this.start(node), answer: () => this.answer(node),
    };
    const made = Object.hasOwn(makers, event.kind) ? makers[event.kind]() : this.plain(node);
    made.dataset.event = event.id;
    made.classList.add("event");
    this.made.set(event.id, made);
    return made;
  }

  start({ event }) {
    return el("section", { class: "block start" }, el("h3", {}, `Question to ${event.method ?? "the method"}`),
      el("p", { class: "note" }, `${plural(event.chars, "character")} of context`),
      textBlock(event.query || "(in the context)"));
  }

  turn(node) {
    const { event, totals } = node;
    const title = turnName(node);
    return el("section", { class: `block turn depth-${Math.min(4, event.depth || 0)}`, "aria-label": title, tabindex: "-1" },
      el("header", {}, el("h3", {}, title), this.link(event, title), el("span", { class: "meta" }, totalsText(totals)),
        el("span", { class: "meta when" }, `at ${seconds(this.clock.end(event))}`)),
      this.group(node.children, node));
  }

  call(node, parent) {
    const { event } = node;
    const own = event.role === "root" && event.depth <= Math.max(0, parent.event.depth);
    const cells = parent.children.filter((child) => child.event.kind === "cell").map((child) => child.event);
    const body = () => [
      Array.isArray(event.messages) ? this.messages(event) : null,
      event.reasoning ? fold(`Reasoning · ${plural(String(event.reasoning).length, "character")}`,
        () => textBlock(event.reasoning), { kind: "aside" }) : null,
      event.error ? el("p", { class: "warning" }, short(event.error, 2000)) : replyBlock(event.reply, cells),
    ].filter(Boolean);
    if (own) {
      const limit = parent.children.slice(0, parent.children.indexOf(node)).find((child) => child.event.kind === "limit");
      return el("div", { class: "call own" }, el("header", {}, callTitle(event),
        limit ? el("span", { class: "tag late" }, `last call, after ${String(limit.event.reason ?? "a limit").replaceAll("_", " ")}`) : null,
        this.link(event, `call #${event.call_id ?? event.id}`), callFacts(event)), ...body());
    }
    return fold([callTitle(event), el("span", { class: "preview" }, short(event.error || event.reply, 80)), callFacts(event)],
      () => [this.link(event, `call #${event.call_id ?? event.id}`), ...body()], { kind: `call sub${event.error ? " failed" : ""}` });
  }

  messages(event) {
    const messages = event.messages;
    const size = messages.reduce((sum, message) => sum + String(message?.content ?? "").length, 0);
    const label = event.after_call === undefined
      ? `Prompt · ${plural(messages.length, "message")} · ${plural(size, "character")}`
      : `Prompt · ${plural(messages.length, "new message")} after call #${event.after_call} · ${plural(size, "character")}`;
    return fold(label, () => messages.map((message) => el("div", { class: "message" },
      el("h4", {}, String(message?.role ?? "?")), textBlock(message?.content ?? ""))), { kind: "aside" });
  }

  cell(node) {
    const { event } = node;
    const failed = event.status && event.status !== "ok";
    const outputs = [["Output", event.stdout], ["Errors", event.stderr], ["Raised", event.error]]
      .filter(([, text]) => text !== null && text !== undefined && text !== "");
    return el("div", { class: `cell${failed ? " failed" : ""}` },
      el("header", {}, el("h4", {}, "Code"), failed ? el("span", { class: "tag bad" }, String(event.status).replaceAll("_", " ")) : null,
        event.final ? el("span", { class: "tag" }, "final answer") : null, el("span", { class: "meta" }, seconds(event.wall_s))),
      textBlock(event.code, { language: "python", label: "code" }),
      node.inner.length ? this.subCalls(node) : null,
      outputs.map(([name, text]) => [el("h4", {}, name), outputBlock(name, text, event)]),
      outputs.length ? null : el("p", { class: "nothing" }, "no output"),
      variables(event.variables),
      event.notice ? el("p", { class: "note" }, short(event.notice, 2000)) : null);
  }

  subCalls(node) {
    const total = node.inner.reduce((sum, below) => addUp(sum, below.totals), { calls: 0, prompt: 0, completion: 0, usd: 0 });
    const box = fold([el("strong", {}, plural(node.inner.length, "sub-call")), el("span", { class: "meta" }, totalsText(total))],
      () => this.group(node.inner, node), { kind: "sub-calls", open: node.inner.length <= 3 });
    node.openInner = () => box.unfold();
    return box;
  }

  child(node) {
    const { event, totals } = node;
    const box = fold([el("strong", {}, `Child RLM at depth ${event.depth}`), el("span", { class: "preview" }, short(event.query, 80)),
      el("span", { class: "meta" }, totalsText(totals))],
    () => [el("p", { class: "note" }, `${plural(event.chars, "character")} of context`), textBlock(event.query),
      this.group(node.children, node)], { kind: "child" });
    node.openChildren = () => box.unfold();
    return box;
  }

  // A permanent link to an event.
  link(event, name) {
    return el("a", { class: "link", href: sampleAddress(this.row, event.id), title: "permanent link", "aria-label": `Link to ${name}` }, "#");
  }

  goToId(id) {
    const event = this.events.find((one) => String(one.id) === String(id));
    return event ? this.goTo(event) : null;
  }

  answer({ event }) {
    const given = event.answer !== null && event.answer !== undefined;
    return el("section", { class: `block answer${given ? "" : " none"}` }, el("header", {}, el("h3", {}, "Answer"),
      el("span", { class: "tag" }, String(event.stop_reason ?? "").replaceAll("_", " ")),
      event.truncated ? el("span", { class: "tag bad" }, "truncated") : null),
    given ? textBlock(event.answer) : el("p", { class: "nothing" }, "no answer"),
    event.error ? el("p", { class: "warning" }, short(event.error, 2000)) : null);
  }

  // Any other kind of event: its fields.
  plain(node) {
    const { event } = node;
    const fields = Object.entries(event).filter(([name, value]) =>
      !["id", "parent", "kind", "depth", "at"].includes(name) && value !== null && value !== "" && value !== undefined);
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
    const small = fields.every(([, value]) => text(value).length < 160);
    const box = el("div", { class: `plain-event ${/limit|error|unreadable/.test(event.kind) ? "loud" : ""}` },
      el("span", { class: "tag" }, event.kind),
      small ? el("span", { class: "meta" }, fields.map(([name, value]) => (name === "text" ? text(value) : `${name}: ${text(value)}`)).join(" · "))
        : fields.map(([name, value]) => [el("h4", {}, name), textBlock(text(value))]));
    if (node.children.length) box.append(this.group(node.children, node));
    return box;
  }

  // Unfold the ancestors of an event and scroll to it. `offset` is the place of a match in its longest text.
  goTo(event, { offset = null, focus = true } = {}) {
    const line = [];
    for (let step = this.path.get(event.id); step; step = step.above && this.path.get(step.above.event.id)) line.unshift(step.node);
    for (const node of line) {
      const above = this.path.get(node.event.id).above;
      if (above?.inner.includes(node)) above.openInner?.();
      else above?.openChildren?.();
      node.reveal?.();
    }
    const target = this.made.get(event.id);
    if (!target) return null;
    target.unfold?.();
    if (offset !== null) {
      for (const details of target.querySelectorAll("details.aside")) details.unfold?.();
      for (const block of target.querySelectorAll(".text-block")) block.showThrough?.(offset);
    }
    target.scrollIntoView({ block: focus ? "start" : "nearest" });
    if (focus) {
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    }
    return target;
  }
}

function variables(types) {
  const names = types && typeof types === "object" ? Object.entries(types) : [];
  if (!names.length) return null;
  return fold(plural(names.length, "variable"), () => textBlock(names.map(([name, type]) => `${name}: ${type}`).join("\n")), { kind: "aside" });
}

function addUp(sum, more) {
  return Object.fromEntries(Object.keys(sum).map((key) => [key, sum[key] + more[key]]));
}

function totalsText(total) {
  if (!total.calls) return "";
  const dollars = total.usd > 0 ? ` · ${money(total.usd)}` : "";
  return `${plural(total.calls, "call")} · ${count(total.prompt)} + ${count(total.completion)} tokens${dollars}`;
}

// After a limit, the root has one last call to answer, which is not a turn of its own.
function turnName({ event, children }) {
  return children[0]?.event.kind === "limit" ? "Last call after the limit" : `Turn ${event.turn ?? event.number ?? ""}`;
}

function callTitle(event) {
  return el("span", { class: "call-title" }, el("span", { class: `role ${event.role}` }, String(event.role)), ` #${event.call_id ?? event.id} `,
    el("span", { class: "model" }, String(event.model ?? "")));
}

function callFacts(event) {
  const parts = [`${count(event.prompt_tokens)} + ${count(event.completion_tokens)} tokens`];
  if (event.cached_tokens) parts.push(`${count(event.cached_tokens)} cached`);
  if (event.cost_usd) parts.push(money(event.cost_usd));
  parts.push(seconds(event.latency_s));
  if (event.finish_reason && event.finish_reason !== "stop") parts.push(String(event.finish_reason));
  if (event.cache_hit) parts.push("replayed");
  if (event.retries?.length) parts.push(`retried: ${event.retries.join(", ")}`);
  return el("span", { class: "meta" }, parts.join(" · "));
}

function outputBlock(name, text, event) {
  const block = textBlock(text, { label: name.toLowerCase() });
  block.classList.add(name === "Raised" || name === "Errors" ? "stderr" : "stdout");
  const whole = name === "Output" ? event.stdout_chars : name === "Errors" ? event.stderr_chars : null;
  if (isNumber(whole) && whole > String(text).length) {
    return [block, el("p", { class: "note" }, `cut: the cell wrote ${plural(whole, "character")}`)];
  }
  return block;
}
