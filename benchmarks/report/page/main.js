// Navigation between the parts of the page, keyboard shortcuts, and the theme.

// The sample that is shown: {row, view}, so that an address of one of its events need not build it again.
let opened = null;

const eventIn = (query) => (/(?:^|&)event=(\d+)(?:&|$)/.exec(query) || [])[1] ?? null;

function show() {
  const main = document.getElementById("main");
  const [, part, first, second] = /^#?(\w*)(?:\/(\d+))?(?:\/(\d+))?/.exec(location.hash);
  const query = location.hash.split("?")[1] || "";
  const known = (row) => row !== undefined && Number(row) < samples.size;
  main.replaceChildren();
  opened = null;
  let here = part;
  const named = part === "sample" ? (known(first) ? Number(first) : rowAt(query)) : -1;
  if (part === "samples") showList(main, query);
  else if (part === "figures") showFigures(main);
  else if (named >= 0) {
    if (first !== undefined) history.replaceState(null, "", sampleAddress(named));
    showSample(main, named, eventIn(query));
  }
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
  const title = showDirections(DATA.title);
  document.title = `${name && name !== title ? `${name} – ` : ""}${title} – rlm-eval`;
  window.scrollTo(0, 0);
}

window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  if (outdated) renew();
  const query = location.hash.split("?")[1] || "";
  if (opened && location.hash.startsWith("#sample?") && rowAt(query) === opened.row && eventIn(query) !== null) {
    opened.view.goToId(eventIn(query));
    return;
  }
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
  paintFigures();
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

// The page of an unfinished run polls its server and reloads itself if there are new samples, except while a trajectory
// is shown or the user types.
const FOLLOW_MS = 2000;
let outdated = false;

window.rlmStamp = (stamp) => {
  outdated = stamp !== DATA.live;
  if (outdated && !document.activeElement?.closest("input, select")) renew();
};

function renew() {
  if (/^#(sample\b|compare)/.test(location.hash)) return;
  try {
    sessionStorage.setItem("rlm-eval-scroll", JSON.stringify([location.hash, scrollY, document.querySelector(".list")?.scrollTop ?? 0]));
  } catch {
    // Without storage, the page begins at its top.
  }
  location.reload();
}

function follow() {
  const script = document.createElement("script");
  script.src = "stamp.js";
  script.onload = script.onerror = () => script.remove();
  document.head.append(script);
}

if (DATA.live && location.protocol.startsWith("http")) {
  document.querySelector(".brand").append(el("span", { class: "tag" }, "under way"));
  setInterval(follow, FOLLOW_MS);
}

function restoreScroll() {
  try {
    const [hash, top, list] = JSON.parse(sessionStorage.getItem("rlm-eval-scroll") || "[]");
    sessionStorage.removeItem("rlm-eval-scroll");
    if (hash !== location.hash) return;
    window.scrollTo(0, top);
    document.querySelector(".list")?.scrollTo(0, list);
  } catch {
    // No storage.
  }
}

// A printed page shows folded parts, except the values of figures, and contexts, which are read in pieces.
let unfolded = [];

window.addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details.long:not([open])")].filter((details) => !details.closest("figure, .context"));
  for (const details of unfolded) details.unfold?.();
  listed.drawAll?.();
});

window.addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
  listed.draw?.();
});

show();
restoreScroll();
