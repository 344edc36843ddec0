// Light or dark: as the system says, unless the reader has chosen.

const themed = [];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function onTheme(draw) {
  themed.push(draw);
}

function startTheme() {
  const button = byId("theme");
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
    for (const draw of themed) draw();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  let chosen;
  const root = document.documentElement.dataset; // paper is light
  addEventListener("beforeprint", () => { chosen = root.theme; root.theme = "light"; show(); });
  addEventListener("afterprint", () => { if (chosen) root.theme = chosen; else delete root.theme; show(); });
  show();
}

// Okabe and Ito's colours, which people with any colour vision can tell apart; black and yellow follow the theme.
const HUES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const DARK_HUES = ["#4FA8E0", "#F08A3C", "#2FC495", "#E39BC4", "#F2B632", "#8FD0F5"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

function hue(place) {
  const hues = isDark() ? DARK_HUES : HUES;
  return hues[place % hues.length];
}

// Neighbours differ in both colour and dashes, and no two of the first 24 lines have both in common.
function dash(place) {
  return DASHES[(place + Math.floor(place / HUES.length)) % DASHES.length];
}
