// The data of the page: columns of samples, and trajectories that are decompressed when they are shown.

const DATA = JSON.parse(document.getElementById("data").textContent);

const samples = {
  size: DATA.samples.size,
  names: Object.keys(DATA.samples.columns),
  column(name) {
    // Names may come from the address, so inherited properties must not count as columns.
    const stored = Object.hasOwn(DATA.samples.columns, name) ? DATA.samples.columns[name] : null;
    if (!stored) return null;
    if (!stored.values) {
      stored.values = stored.codes.map((code) => (code < 0 ? null : stored.words[code]));
    }
    return stored.values;
  },
  value(row, name) {
    const values = this.column(name);
    return values ? values[row] : null;
  },
  words(name) {
    return [...new Set(this.column(name) || [])].filter((word) => word !== null && word !== "").sort(naturally);
  },
};

const collator = new Intl.Collator("en", { numeric: true });
const naturally = (a, b) => collator.compare(String(a), String(b));

// Other samples of the same question: other methods, models, runs and epochs.
function siblings(row) {
  const [benchmark, id] = ["benchmark", "sample_id"].map((name) => samples.column(name));
  const found = [];
  for (let other = 0; other < samples.size; other++) {
    if (other !== row && id[other] === id[row] && benchmark[other] === benchmark[row]) found.push(other);
  }
  return found;
}

const isReference = (row) => DATA.reference.includes(samples.value(row, "method"));
const answered = (row) => samples.value(row, "prediction") !== null;

// Rows of methods that ended without a good answer.
function failed(row) {
  const score = samples.value(row, "score");
  return !isReference(row) && (samples.value(row, "status") !== "ok" || (isNumber(score) && score < 0.5));
}

const ADDRESS = { benchmark: "benchmark", method: "method", model: "model", id: "sample_id", epoch: "epoch", run: "run" };

// The permanent address of a sample, or of one event of its trajectory: it holds names, not places in the list.
function sampleAddress(row, event = null) {
  const parts = new URLSearchParams();
  for (const [key, name] of Object.entries(ADDRESS)) {
    const value = samples.value(row, name);
    const needed = ["benchmark", "method", "id"].includes(key) || samples.words(name).length > 1;
    if (needed && value !== null) parts.set(key, key === "run" ? DATA.runs[value]?.name ?? value : value);
  }
  if (event !== null) parts.set("event", event);
  return `#sample?${parts}`;
}

// The row that an address names; -1 if there is none.
function rowAt(query) {
  const parts = new URLSearchParams(query);
  const wanted = Object.entries(ADDRESS).filter(([key]) => parts.has(key));
  if (!parts.has("id")) return -1;
  for (let row = 0; row < samples.size; row++) {
    if (wanted.every(([key, name]) => {
      const value = samples.value(row, name);
      return String(key === "run" ? DATA.runs[value]?.name ?? value : value) === parts.get(key);
    })) return row;
  }
  return -1;
}

function armName(row) {
  const parts = [samples.value(row, "method")];
  const several = (name) => samples.words(name).length > 1 && samples.value(row, name);
  if (several("model")) parts.push(samples.value(row, "model"));
  if (DATA.runs.length > 1) parts.push(DATA.runs[samples.value(row, "run")]?.name);
  if (several("epoch")) parts.push(`epoch ${samples.value(row, "epoch")}`);
  return parts.filter(Boolean).map(apart).join(" · ");
}

const waiting = new Map();
let unpacked = new Map();

// The trajectory files next to a large report call this.
window.rlmTrajectory = (number, packed) => {
  waiting.get(number)?.resolve(packed);
};

function packedTrajectory(number) {
  const inline = document.getElementById(`trajectory-${number}`);
  if (inline) return Promise.resolve(inline.textContent);
  if (!waiting.has(number)) {
    const entry = {};
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    waiting.set(number, entry);
    const script = document.createElement("script");
    script.src = `${DATA.folder}/${Number(number)}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      waiting.delete(number);
      entry.reject(new Error(`${DATA.folder}/${Number(number)}.js is missing: keep this folder next to the page`));
    };
    document.head.append(script);
  }
  return waiting.get(number).promise;
}

// Decode base64, unpack gzip, and return the text.
function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// The events of a sample's trajectory; an unreadable line becomes an event of kind `unreadable line`.
async function trajectory(row) {
  const number = samples.value(row, "trajectory");
  if (number === null) return null;
  if (unpacked.has(number)) return unpacked.get(number);
  const packed = await packedTrajectory(number);
  waiting.delete(number);
  const text = await unpack(packed);
  const events = text.split("\n").filter(Boolean).map(parseEvent);
  // Keep a few for going back and forth.
  if (unpacked.size > 7) unpacked = new Map([...unpacked].slice(-4));
  unpacked.set(number, events);
  return events;
}

function parseEvent(line, index) {
  try {
    const event = JSON.parse(line);
    if (event && typeof event === "object" && !Array.isArray(event)) {
      return { id: index, parent: null, depth: 0, at: 0, ...event, kind: String(event.kind ?? "unknown") };
    }
  } catch {
    // The line becomes an event below.
  }
  return { id: index, parent: null, depth: 0, at: 0, kind: "unreadable line", text: line };
}
