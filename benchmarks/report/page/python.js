// Syntax colours for Python code, from a small tokenizer.

const PYTHON_WORDS = new Set(
  ("False None True and as assert async await break case class continue def del elif else except finally for from " +
    "global if import in is lambda match nonlocal not or pass raise return try while with yield").split(" "),
);
const PYTHON_TOOLS = new Set(
  "context llm_query llm_query_batched rlm_query rlm_query_batched FINAL FINAL_VAR SHOW_VARS".split(" "),
);
const PYTHON_TOKEN = new RegExp(
  [
    "(?<comment>#[^\\n]*)",
    "(?<string>(?:\\b[rbuftRBUFT]{1,2})?(?:\"\"\"[\\s\\S]*?(?:\"\"\"|$)|'''[\\s\\S]*?(?:'''|$)" +
      "|\"(?:\\\\[\\s\\S]|[^\"\\\\\\n])*(?:\"|$|(?=\\n))|'(?:\\\\[\\s\\S]|[^'\\\\\\n])*(?:'|$|(?=\\n))))",
    "(?<number>\\b(?:0[xXoObB][\\da-fA-F_]+|\\d[\\d_]*(?:\\.[\\d_]*)?(?:[eE][+-]?\\d+)?j?)\\b)",
    "(?<word>[A-Za-z_]\\w*)",
  ].join("|"),
  "g",
);

function pythonCode(text) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  let defining = false;
  for (const found of text.matchAll(PYTHON_TOKEN)) {
    let kind = Object.keys(found.groups).find((name) => found.groups[name] !== undefined);
    const word = found[0];
    if (kind === "word") {
      const called = /^\s*\(/.test(text.slice(found.index + word.length, found.index + word.length + 8));
      if (PYTHON_WORDS.has(word)) kind = "keyword";
      else if (PYTHON_TOOLS.has(word)) kind = "tool";
      else if (defining || called) kind = "call-name";
      else kind = null;
      defining = word === "def" || word === "class";
    }
    if (kind === null) continue;
    fragment.append(text.slice(end, found.index), el("span", { class: `py-${kind}` }, word));
    end = found.index + word.length;
  }
  fragment.append(text.slice(end));
  return fragment;
}
