// The context of a sample: read in pieces from files, so that a context of any size can be read and searched.

const PIECES_KEPT = 4;
const contextPieces = new Map();
const contextWaiting = new Map();

// The files of contexts call this.
window.rlmContext = (name, piece, pieces, chars, packed) => {
  contextWaiting.get(`${name} ${piece}`)?.resolve({ pieces, chars, packed });
};

// A piece of a context: {text, pieces, chars}; the last few stay in memory.
async function contextPiece(name, piece) {
  const key = `${name} ${piece}`;
  if (contextPieces.has(key)) return contextPieces.get(key);
  const { packed, ...sizes } = await new Promise((resolve, reject) => {
    contextWaiting.set(key, { resolve });
    const script = document.createElement("script");
    script.src = [DATA.contexts, ...name.split("/"), `${Number(piece)}.js`].map(encodeURIComponent).join("/");
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      reject(new Error("it is not next to this page; open the run folder with `rlm-eval view`"));
    };
    document.head.append(script);
  }).finally(() => contextWaiting.delete(key));
  const found = { ...sizes, text: await unpack(packed) };
  if (contextPieces.size >= PIECES_KEPT) contextPieces.delete(contextPieces.keys().next().value);
  contextPieces.set(key, found);
  return found;
}

function contextCard(row) {
  const name = samples.value(row, "context_file");
  if (!name) return null;
  return el("section", { class: "card context" }, fold(el("h3", {}, "Context"), () => contextReader(name), { kind: "long" }));
}

function contextReader(name) {
  const pre = el("pre", { class: "plain", tabindex: "0", role: "group", "aria-label": "context" });
  const place = el("span", { class: "meta", role: "status", "aria-live": "polite" });
  const input = el("input", { type: "search", placeholder: "Search in the context", "aria-label": "Search in the context" });
  const button = (label, text, handler) => el("button", { type: "button", class: "quiet", "aria-label": label, on: { click: handler } }, text);
  const box = el("div", {}, el("div", { class: "find-bar" }, input, button("Previous match", "↑", () => search(-1)),
    button("Next match", "↓", () => search(1)), button("Previous part of the context", "←", () => show(shown - 1)),
    button("Next part of the context", "→", () => show(shown + 1)), place), pre);
  let [shown, pieces, at, busy] = [-1, 1, -1, false];

  async function show(piece, range = null) {
    try {
      if (piece < 0 || piece >= pieces) return;
      const found = await contextPiece(name, piece);
      pieces = found.pieces;
      shown = piece;
      pre.replaceChildren(found.text);
      if (!range) at = -1;
      place.textContent = plural(found.chars, "character") + (pieces > 1 ? ` · part ${piece + 1} of ${pieces}` : "");
      markRange(pre, range);
    } catch (error) {
      pre.replaceChildren(el("span", { class: "nothing" }, `The context cannot be shown: ${error.message}`));
    }
  }

  // Look for the next match from the last one on, piece by piece. A match over the border of two pieces belongs to the
  // first piece, whose text is searched together with the start of the second.
  async function search(step) {
    const wanted = input.value.toLowerCase();
    if (!wanted || busy || shown < 0) return;
    busy = true;
    try {
      for (let tried = 0; tried <= pieces && box.isConnected; tried++) {
        const piece = (((shown + step * tried) % pieces) + pieces) % pieces;
        place.textContent = `searching part ${piece + 1} of ${pieces} …`;
        const { text } = await contextPiece(name, piece);
        const next = piece + 1 < pieces ? (await contextPiece(name, piece + 1)).text.slice(0, wanted.length - 1) : "";
        const line = (text + next).toLowerCase();
        const from = tried === 0 ? at + step : step > 0 ? 0 : line.length;
        const found = step > 0 ? line.indexOf(wanted, Math.max(0, from)) : from < 0 ? -1 : line.lastIndexOf(wanted, from);
        if (found < 0) continue;
        at = found;
        await show(piece, [found, found + wanted.length]);
        return;
      }
      place.textContent = "no match";
    } catch (error) {
      place.textContent = error.message;
    } finally {
      busy = false;
    }
  }

  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    search(event.shiftKey ? -1 : 1);
  });
  show(0);
  return box;
}

function markRange(pre, range) {
  if (!globalThis.Highlight) return;
  CSS.highlights.delete("found");
  const text = pre.firstChild;
  if (!range || !text) {
    pre.scrollTop = 0;
    return;
  }
  const marked = new Range();
  marked.setStart(text, Math.min(range[0], text.length));
  marked.setEnd(text, Math.min(range[1], text.length));
  CSS.highlights.set("found", new Highlight(marked));
  pre.scrollTop += marked.getBoundingClientRect().top - pre.getBoundingClientRect().top - pre.clientHeight / 2;
}
