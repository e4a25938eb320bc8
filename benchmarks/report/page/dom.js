// Elements from text. Texts of models and data become text nodes and are never parsed as markup.

// Attributes with text for people.
const READ = ["title", "aria-label", "alt", "placeholder"];

// Direction marks can make a name or code look like another one, so they are shown as escapes. The isolates of `apart`
// cannot do so.
function showDirections(text) {
  return text.replace(/[\u202a-\u202e\u2066\u2067]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`);
}

// A name within a line of other texts: one that is written from right to left must not reorder its neighbours.
function apart(name) {
  const text = showDirections(String(name)).replace(/[\u2068\u2069]/g, "");
  return /[\u0590-\u08ff\ufb1d-\ufefc]/.test(text) ? `\u2068${text}\u2069` : text;
}

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else node.setAttribute(name, value === true ? "" : READ.includes(name) ? showDirections(String(value)) : String(value));
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...shown.map((child) => (child instanceof Node ? child : showDirections(String(child)))));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

function say(text) {
  document.getElementById("status").textContent = showDirections(text);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const count = (value) => (isNumber(value) ? value.toLocaleString("en-US") : "–");
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

function money(dollars, state) {
  if (state === "free") return "free";
  if (!isNumber(dollars)) return state === "unknown" ? "unknown" : "–";
  const digits = dollars > 0 ? Math.min(8, Math.max(2, 1 - Math.floor(Math.log10(dollars)))) : 2;
  return `${state === "unknown" ? "≥ " : ""}$${dollars.toFixed(digits)}`;
}

// The cost state of a sum.
const costState = (states) => ["unknown", "known"].find((state) => states.includes(state)) ?? "free";

function seconds(value) {
  if (!isNumber(value)) return "–";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.5) return `${value.toFixed(value < 9.95 ? 2 : 1)} s`;
  const whole = Math.round(value);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${(whole / 3600).toFixed(1)} h`;
}

function percent(score) {
  return isNumber(score) ? (score * 100).toFixed(score > 0 && score < 0.001 ? 2 : 1) : "–";
}

function short(text, length) {
  const line = String(text ?? "").slice(0, 4 * length).replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

// A sample without an answer has a neutral score, even if the benchmark gives points for an empty answer.
function scoreBadge(score, answered = true) {
  const level = !isNumber(score) || (!answered && score > 0) ? "none" : score >= 0.5 ? "good" : score > 0 ? "part" : "bad";
  return el("span", { class: `score ${level}` }, percent(score));
}

// The names that the tables use.
const statusName = (status) => (status === "context_overflow" ? "over window" : String(status).replaceAll("_", " "));

function statusBadge(status) {
  const known = ["ok", "limit", "context_overflow", "error"].includes(status) ? status : "other";
  return el("span", { class: `state ${known}` }, statusName(status));
}
