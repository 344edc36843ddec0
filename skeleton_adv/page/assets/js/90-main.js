// Sections by the address: #leaderboard, #player/clip-3, #study, #curves/…, #tables/…, #about

const SECTIONS = [["leaderboard", "Leaderboard"], ["player", "Player"], ["curves", "Curves"], ["tables", "Tables"], ["about", "About"]];
const VIEWS = { leaderboard: () => leaderboard(), player: playerView, study: studyView, curves: curvesView, tables: tablesView, about: () => aboutView() };
let shown = 0;

function go(address) {
  if (location.hash === `#${address}`) route();
  else location.hash = address;
}

async function route() {
  const turn = ++shown;
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const section = VIEWS[name] ? name : core.attacks.length ? "leaderboard" : "player";
  for (const link of byId("tabs").children) {
    const here = link.dataset.section === section || (section === "study" && link.dataset.section === "player");
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  tip("");
  try {
    const view = await VIEWS[section](rest.join("/"));
    if (turn === shown) byId("main").replaceChildren(view);
  } catch (error) {
    const old = typeof DecompressionStream === "undefined";
    byId("main").replaceChildren(el("p", { class: "empty", role: "alert" }, old ? "This browser is too old for this page: use a version from 2023 or later." : `This part cannot be shown: ${error.message}`));
    if (!old) throw error;
  }
}

function aboutView() {
  const keys = [["space", "play or pause"], ["← →", "one frame back or on"], ["Home, End", "first or last frame"], ["shift + arrows", "turn the camera"], ["+ − 0", "zoom, reset the view"]];
  const data = core.datasets.map((one) => `${one.name}: ${one.runs} runs${one.stand_in ? `, a stand-in for ${one.stands_for || "the data"}, which the published results use. Its numbers cannot be compared with theirs` : ""}.`);
  return el("section", { class: "about", "aria-label": "About" }, el("h2", {}, "What this page shows"),
    el("p", {}, "Attacks on recognisers that read the positions of a body's joints over time. Each run of an attack is kept with one row per clip, with all its settings, and with the versions and checksums of what it used. Every number here is computed from these rows."),
    el("ul", {},
      el("li", {}, el("b", {}, "Success"), ": of the clips that the victim gets right before the attack, the share that it gets wrong after it. Intervals are 95 % Wilson intervals, the parts of the bars in another shade; the counts are in round brackets."),
      el("li", {}, el("b", {}, "Names of victims"), ": “_small” is a network at a quarter of its width, “_whole” one that reads the whole clip, and “s0”, “s1” are the seeds of their training."),
      el("li", {}, el("b", {}, "Names of attacks"), ": ε is the budget, which limits each coordinate of a joint (linf) or the length of the whole change of a clip (l2); β is the weight of a penalty on violated limits of the body. With “confidence 1”, an attack aims for a logit of a wrong class that exceeds that of the true class by 1."),
      el("li", {}, el("b", {}, "What an attack sees"), ": all of the victim, unless its name says less. “Made on” another network: the clips are made on that network and judged by the victim (transfer)."),
      el("li", {}, el("b", {}, "Feasible success"), ": the same, but a clip counts only if it obeys the threat model, or, without one, if every bone, angle and speed stays within its limit in every frame."),
      el("li", {}, el("b", {}, "rms"), ": the root mean square of the displacement per joint and frame."),
      el("li", {}, el("b", {}, "Worst case"), ": a clip is safe only if none of the white-box attacks fools the victim on it."),
      el("li", {}, el("b", {}, "⚠"), ": the rows themselves show signs that an attack is weaker than it could be; open the row to read them."),
      el("li", {}, el("b", {}, "Published and reported"), ": a published number is from a paper, on that paper's data. Reported numbers are those of others, which were not checked here; they never enter a worst case.")),
    el("h3", {}, "Data"), el("ul", {}, data.map((text) => el("li", {}, text))),
    el("h3", {}, "Keys of the player"), pairs(Object.fromEntries(keys)),
    el("p", { class: "note" }, `Made with skeleton_adv ${core.version}. This file needs no network and sends nothing.`));
}

function start() {
  byId("tabs").append(...SECTIONS.filter(([name]) => name !== "leaderboard" && name !== "curves" && name !== "tables" || core.attacks.length || core.runs)
    .map(([name, text]) => el("a", { href: `#${name}`, "data-section": name }, text)));
  byId("tagline").textContent = core.runs ? "Attacks on skeleton-based action recognition" : "Clips of moving skeletons";
  startTheme();
  addEventListener("hashchange", route);
  document.addEventListener("scroll", () => tip(""), { passive: true });
  byId("drawer").addEventListener("click", (event) => { if (event.target === byId("drawer")) byId("drawer").close(); });
  route();
}

start();
