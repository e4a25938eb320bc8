// Figures: wide pictures in the colours of the theme, which a click enlarges.

// Colours of the pictures in the light theme, and their replacements in the dark theme.
const DARK_COLOURS = {
  "#ffffff": "#181e27", "#1b2330": "#e4e9f0", "#000000": "#e4e9f0", "#dddddd": "#2a333f", "#777777": "#9aa7b8",
  "#444444": "#c3ccd8", "#eeeeee": "#2f3946", "#0072b2": "#58aee6", "#d55e00": "#ff9557", "#009e73": "#3ecfa4",
  "#cc79a7": "#e6a3c7", "#56b4e9": "#9ad4f5", "#e69f00": "#f3c04f",
};

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// The picture as a data URL in the colours of the theme; an image cannot run scripts.
function themed(source) {
  const [head, data] = source.split(";base64,");
  if (!isDark() || head !== "data:image/svg+xml") return source;
  const text = atob(data).replace(/#[0-9a-f]{6}\b/gi, (colour) => DARK_COLOURS[colour.toLowerCase()] ?? colour);
  return `${head};base64,${btoa(text)}`;
}

function paintFigures() {
  for (const picture of document.querySelectorAll("img[data-figure]")) picture.src = themed(DATA.figures[picture.dataset.figure].source);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintFigures);

function enlarge(index) {
  const figure = DATA.figures[index];
  const close = el("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Close");
  const dialog = el("dialog", { class: "enlarged", "aria-label": figure.title, on: { close: () => dialog.remove() } },
    el("div", { class: "enlarged-head" }, el("h2", {}, figure.title), close),
    el("div", { class: "enlarged-picture", tabindex: "0" }, el("img", { src: themed(figure.source), "data-figure": index, alt: figure.title })));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

// Pixels for a point of a picture: its letters are then a little larger than those of the page's notes.
const PIXELS = 1.75;

function figureCard(figure) {
  const index = DATA.figures.indexOf(figure);
  const card = el("figure", { class: "card" },
    el("figcaption", {}, el("h2", {}, figure.title)),
    el("button", { type: "button", class: "picture", title: "Enlarge", "aria-label": `Enlarge the figure: ${figure.title}`,
      on: { click: () => enlarge(index) } },
    el("img", { class: "screen-only", src: themed(figure.source), "data-figure": index,
      alt: `${figure.title}; the values are in the table below`, loading: "lazy" }),
    // A printed page is light in every theme.
    el("img", { class: "paper-only", src: figure.source, alt: "" })),
    figure.note ? el("p", { class: "note" }, figure.note) : null,
    figure.table ? fold("Values", () => sortableTable(figure.table), { kind: "long" }) : null);
  if (figure.width) card.querySelector(".picture").style.maxWidth = `${Math.max(900, Math.round(PIXELS * figure.width))}px`;
  return card;
}

function showFigures(main) {
  main.append(el("h1", {}, "Figures"));
  if (!DATA.figures.length) main.append(el("p", { class: "notice" }, "There are no figures yet."));
  main.append(...DATA.figures.map(figureCard));
}
