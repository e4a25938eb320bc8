// The tree of the recorded events: loops, their turns, and the calls and cells of a turn.

// The tree of a trajectory: {event, children, inner, totals}. Calls, tools and children that a cell started are in its
// `inner`, although the cell is recorded after them.
function eventTree(events) {
  const nodes = new Map();
  const roots = [];
  for (const event of events) {
    const node = { event, children: [], inner: [], totals: null };
    nodes.set(event.id, node);
    const parent = event.parent === null || event.parent === event.id ? null : nodes.get(event.parent);
    (parent ? parent.children : roots).push(node);
  }
  const top = { event: { kind: "root", depth: -1, at: 0, id: null }, children: roots, inner: [], totals: null };
  for (const node of [top, ...nodes.values()]) node.children = underCells(node);
  addTotals(top);
  return top;
}

function underCells(node) {
  const own = [];
  let waiting = [];
  for (const child of node.children) {
    const { kind, role, depth } = child.event;
    if (kind === "cell") {
      child.inner = waiting;
      waiting = [];
      own.push(child);
    } else if (kind === "tool" || kind === "child" || (kind === "call" && (role !== "root" || depth > node.event.depth))) {
      waiting.push(child);
    } else {
      own.push(...waiting, child);
      waiting = [];
    }
  }
  return [...own, ...waiting];
}

// Totals over all nodes below, without recursion, because trees may be deep.
function addTotals(top) {
  const order = [top];
  for (let i = 0; i < order.length; i++) order.push(...order[i].children, ...order[i].inner);
  for (const node of order.reverse()) {
    const { event } = node;
    const own = event.kind === "call";
    const total = {
      calls: own ? 1 : 0,
      prompt: own ? event.prompt_tokens || 0 : 0,
      completion: own ? event.completion_tokens || 0 : 0,
      usd: own ? event.cost_usd || 0 : 0,
    };
    for (const below of [...node.children, ...node.inner]) for (const key of Object.keys(total)) total[key] += below.totals[key];
    node.totals = total;
  }
}

const isSubCall = (event) => event.kind === "call" && (event.role !== "root" || event.depth > 0);

// Maps recorded times to a clock on which each replayed call takes its original time, one after another, so that the
// parts of a sample add up to the time that the tables state.
function originalClock(events) {
  const replayed = events.filter((event) => event.kind === "call" && event.cache_hit && isNumber(event.latency_s) && isNumber(event.at))
    .sort((a, b) => a.at - b.at);
  const order = new Map(replayed.map((event, place) => [event, place]));
  const sums = [0];
  for (const event of replayed) sums.push(sums.at(-1) + event.latency_s);
  const added = (at) => {
    let [low, high] = [0, replayed.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (replayed[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    return sums[low];
  };
  return {
    replayed: replayed.length,
    at: (time) => time + added(time),
    end: (event) => event.at + (order.has(event) ? sums[order.get(event) + 1] : added(event.at)),
  };
}

// Spans [start, end] in seconds by lane, and the seconds that each lane took.
function timeSpans(events) {
  const lanes = { "root model": [], code: [], "sub-calls": [] };
  const clock = originalClock(events);
  let end = 0;
  for (const event of events) {
    const at = isNumber(event.at) ? clock.end(event) : 0;
    end = Math.max(end, at);
    const lasted = event.kind === "call" ? event.latency_s : event.kind === "cell" ? event.wall_s : null;
    if (!isNumber(lasted)) continue;
    const lane = event.kind === "cell" ? "code" : isSubCall(event) ? "sub-calls" : "root model";
    const start = event.kind === "call" && event.cache_hit ? at - lasted : clock.at(Math.max(0, (event.at || 0) - lasted));
    lanes[lane].push({ start: Math.max(0, start), end: at, event });
  }
  const covered = (...names) => unionLength(names.flatMap((name) => lanes[name]));
  const whole = covered("root model", "code", "sub-calls");
  const spent = {
    "root model": covered("root model"),
    "sub-calls": covered("root model", "sub-calls") - covered("root model"),
    code: whole - covered("root model", "sub-calls"),
    other: Math.max(0, end - whole),
  };
  return { lanes, spent, end, replayed: clock.replayed };
}

function unionLength(spans) {
  let [length, reached] = [0, 0];
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    length += Math.max(0, span.end - Math.max(reached, span.start));
    reached = Math.max(reached, span.end);
  }
  return length;
}
