// Navigation between the parts of the page, keyboard shortcuts, and the theme.

function show() {
  const main = document.getElementById("main");
  const [, part, first, second] = /^#?(\w*)(?:\/(\d+))?(?:\/(\d+))?/.exec(location.hash);
  const query = location.hash.split("?")[1] || "";
  const known = (row) => row !== undefined && Number(row) < samples.size;
  main.replaceChildren();
  let here = part;
  if (part === "samples") showList(main, query);
  else if (part === "figures") showFigures(main);
  else if (part === "sample" && known(first)) showSample(main, Number(first));
  else if (part === "compare" && known(first) && known(second)) showComparison(main, Number(first), Number(second));
  else {
    here = "overview";
    showOverview(main);
  }
  const shown = ["sample", "compare"].includes(here) ? "samples" : here;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.part === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const name = main.querySelector("h1")?.textContent;
  document.title = `${name && name !== DATA.title ? `${name} – ` : ""}${DATA.title} – rlm-eval`;
  window.scrollTo(0, 0);
}

window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  show();
  document.getElementById("main").focus({ preventScroll: true });
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape" && typing) {
    typing.blur();
    return;
  }
  if (typing) return;
  if (event.key === "/") {
    const search = document.querySelector("#search, .find");
    if (search) {
      event.preventDefault();
      search.focus();
    }
    return;
  }
  const link = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (link) link.click();
});

const THEMES = ["light", "dark"];

function setTheme(theme) {
  if (THEMES.includes(theme)) document.documentElement.dataset.theme = theme;
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(dark ? "light" : "dark");
  try {
    localStorage.setItem("rlm-eval-theme", dark ? "light" : "dark");
  } catch {
    // A page opened from a file may have no storage. The choice is then lost on reload.
  }
});

try {
  setTheme(localStorage.getItem("rlm-eval-theme"));
} catch {
  // No storage.
}

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.long")) details.unfold?.();
});

show();
