// Blocks of text of any size: the start is shown, further pieces on request.

const FIRST_PIECE = 6000;
const NEXT_PIECE = 200000;
const MOST_COLOURED = 20000;

// language: "python" for colours, else plain. `showThrough(offset)` of the node shows the text at least up to offset.
function textBlock(text, { language = "", label = "text" } = {}) {
  const whole = language ? showDirections(String(text ?? "")) : String(text ?? "");
  const pre = el("pre", { class: language ? `code ${language}` : "plain", tabindex: "0", role: "group", "aria-label": label });
  const box = el("div", { class: "text-block" }, pre);
  const more = el("button", { type: "button", class: "more" });
  let shown = 0;

  function showThrough(offset) {
    let end = Math.min(whole.length, Math.max(offset, Math.min(whole.length, FIRST_PIECE)));
    if (whole.length - end < FIRST_PIECE / 4) end = whole.length;
    if (end <= shown && shown > 0) return;
    // Do not split a surrogate pair.
    if (end < whole.length && whole.charCodeAt(end - 1) >= 0xd800 && whole.charCodeAt(end - 1) < 0xdc00) end -= 1;
    if (language === "python" && end <= MOST_COLOURED) pre.replaceChildren(pythonCode(whole.slice(0, end)));
    else if (shown === 0) pre.replaceChildren(whole.slice(0, end));
    else pre.append(whole.slice(shown, end));
    shown = end;
    const left = whole.length - shown;
    more.textContent = left > NEXT_PIECE
      ? `Show ${count(NEXT_PIECE)} more of ${count(left)} characters`
      : `Show the remaining ${plural(left, "character")}`;
    if (left > 0 && !more.isConnected) box.append(more);
    if (left === 0) more.remove();
  }

  more.addEventListener("click", () => showThrough(shown + NEXT_PIECE));
  if (whole === "") pre.append(el("span", { class: "nothing" }, "(empty)"));
  else showThrough(0);
  box.showThrough = showThrough;
  return box;
}

// Mark the last place of an answer that has the scored text as separate words; returns true if there is one.
function markScored(block, answer, scored) {
  const [text, wanted] = [answer, String(scored ?? "").trim()].map((one) => one.toLowerCase());
  if (!wanted || wanted === text.trim() || text.length !== answer.length) return false;
  const inWord = (at) => /[\p{L}\p{N}]{2}/u.test(text.slice(Math.max(0, at - 1), at + 1));
  let at = text.lastIndexOf(wanted);
  while (at >= 0 && (inWord(at) || inWord(at + wanted.length))) at = at > 0 ? text.lastIndexOf(wanted, at - 1) : -1;
  if (at < 0) return false;
  block.showThrough(at + wanted.length);
  const pre = block.querySelector("pre");
  pre.normalize();
  const range = new Range();
  range.setStart(pre.firstChild, at);
  range.setEnd(pre.firstChild, at + wanted.length);
  range.surroundContents(el("mark", { class: "scored", title: "the part that was scored" }));
  return true;
}

// A reply with coloured code blocks. Code that was run appears with its output, so it is only mentioned here.
function replyBlock(text, cells) {
  const whole = String(text ?? "");
  if (whole.length > 4 * MOST_COLOURED) return textBlock(whole);
  const ran = new Set(cells.map((cell) => String(cell.code ?? "").trim()));
  const box = el("div", { class: "reply" });
  let end = 0;
  for (const fence of whole.matchAll(/^```([\w+-]*)[^\n]*\n([\s\S]*?)^```[ \t]*$/gm)) {
    if (!fence[2].trim()) continue;
    const prose = whole.slice(end, fence.index).trim();
    if (prose) box.append(textBlock(prose));
    if (ran.has(fence[2].trim())) {
      box.append(el("p", { class: "ran" }, `${plural(fence[2].trimEnd().split("\n").length, "line")} of code, run below`));
    } else {
      box.append(textBlock(fence[2].replace(/\n$/, ""), { language: /^(json|text|)$/.test(fence[1]) ? "code" : "python" }));
    }
    end = fence.index + fence[0].length;
  }
  const rest = whole.slice(end).trim();
  if (rest || end === 0) box.append(textBlock(rest || whole));
  return box;
}

// A fold whose content is created when it is first opened; `unfold()` of the node opens it.
function fold(summary, make, { open = false, kind = "" } = {}) {
  const node = el("details", { class: kind || null }, el("summary", {}, ...[summary].flat()));
  let made = false;
  const fill = () => {
    if (!made) {
      made = true;
      node.append(...[make()].flat());
    }
  };
  node.addEventListener("toggle", () => node.open && fill());
  node.unfold = () => {
    fill();
    node.open = true;
  };
  if (open) node.unfold();
  return node;
}
