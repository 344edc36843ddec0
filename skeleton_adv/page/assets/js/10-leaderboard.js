// The leaderboard: attacks as a list or a matrix, the most robust victims, and certificates.

const RATES = [
  ["clean_accuracy", "Clean accuracy", "Share of clips that the victim classifies correctly before the attack."],
  ["success_if_right", "Success", "Of the clips that the victim gets right before the attack, the share that it gets wrong after it."],
  ["feasible_success_if_right", "Feasible success", "Success within the threat model, or within the limits of the body."],
];
const ALL = "all";
const board = { view: "list", sort: "feasible_success_if_right", down: true, text: "", metric: "feasible_success_if_right", unfolded: false, explained: false };
const FILTERS = [["dataset", "Dataset"], ["threat", "Threat model"], ["victim", "Victim"], ["defense", "Defense"], ["attack", "Attack"], ["goal", "Goal"]];
for (const [name] of FILTERS) board[name] = ALL;

// A rate: its text is that of the tables; the bar shows the value, its interval, and an end at 100 %.
function rateCell(rate, extra = "") {
  if (!rate || rate.value === null || rate.value === undefined) return el("span", { class: "none" }, rate ? rate.text : "");
  const cut = rate.text.indexOf(" ");
  return el("div", { class: `rate ${extra}` },
    el("span", { class: "number" }, el("b", {}, rate.text.slice(0, cut)), el("small", {}, rate.text.slice(cut))),
    el("span", { class: "bar", "aria-hidden": "true", "--value": rate.value, "--low": rate.low, "--high": rate.high }));
}

const ACCESS = { scores: "sees scores only", labels: "sees labels only", none: "sees nothing of the victim", oblivious: "does not know the defense", adaptive: "knows the defense" };

function nameOf(attack) {
  const notes = [];
  if (attack.surrogate) notes.push(`made on ${attack.surrogate}`);
  else if (attack.access && attack.access !== "white box") notes.push(ACCESS[attack.access] || attack.access);
  if (attack.goal && attack.goal !== "untargeted") notes.push(attack.goal);
  return [attack.attack, notes.join(", ")];
}

function victimOf(row) {
  return row.victim + (row.defense ? ` behind ${row.defense}` : "");
}

function threatText(name) {
  return core.threats[name] || name;
}

// For the search, "CTR-GCN", "ctr_gcn" and "ctrgcn" are one word.
function searched(text) {
  return String(text || "").toLowerCase().replace(/[\s\-_–]+/g, "");
}

function haystack(row) {
  row.hay ??= [row.attack, row.victim, row.defense, row.threat, row.access, ACCESS[row.access], row.goal, row.surrogate, row.dataset, row.apart, row.strongest].map(searched).join(" ");
  return row.hay;
}

function fitsSearch(row) {
  return board.text.split(/\s+/).map(searched).every((word) => haystack(row).includes(word));
}

function kept(skip = "") {
  return core.attacks.filter((row) =>
    FILTERS.every(([name]) => name === skip || board[name] === ALL || (row[name] || "none") === board[name]) && fitsSearch(row));
}

function valueOf(row, key) {
  const value = row[key];
  if (value && typeof value === "object") return value.value === undefined ? null : value.value;
  return key === "attack" ? nameOf(row).join(" ") : key === "victim" ? victimOf(row) : value;
}

function sorted(rows, key, down) {
  const empty = (value) => value === null || value === undefined || value === "";
  return [...rows].sort((a, b) => {
    const x = valueOf(a, key), y = valueOf(b, key);
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -order : order;
  });
}

function header(key, text, title, state, redraw) {
  const active = state.sort === key;
  return el("th", { scope: "col", "aria-sort": active ? (state.down ? "descending" : "ascending") : "none", title },
    el("button", {
      type: "button", "data-sort": key,
      onclick: () => {
        state.down = state.sort === key ? !state.down : typeof valueOf(core.attacks[0] || {}, key) === "number";
        state.sort = key;
        redraw();
      },
    }, text, el("span", { class: "arrow", "aria-hidden": "true" }, active ? (state.down ? " ↓" : " ↑") : "")));
}

function leaderboard() {
  const root = el("section", { class: "leaderboard", "aria-label": "Leaderboard" });
  const bar = el("div", { class: "controls" });
  const list = el("div", { class: "results" });
  const draw = () => {
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset : {};
    drawFilters(bar, draw);
    const rows = kept();
    const views = { list: drawList, matrix: drawMatrix, victims: drawVictims };
    list.replaceChildren(...views[board.view](rows, draw));
    // What was drawn again has the focus again, so that the keyboard continues where it was.
    const same = ["sort", "value", "fold"].filter((name) => name in focused).map((name) => `[data-${name}="${focused[name]}"]`)[0];
    if (same) root.querySelector(same)?.focus();
    say(`${rows.length} rows`);
  };
  root.append(intro(), bar, list);
  draw();
  return root;
}

function intro() {
  const victims = new Set(core.attacks.map((row) => row.victim)), attacks = new Set(core.attacks.map((row) => row.attack.split(" ")[0]));
  const many = (count, word) => [count, count === 1 ? word : `${word}s`];
  const facts = [many(core.runs, "run"), many(victims.size, "victim"), [attacks.size, attacks.size === 1 ? "method of attack" : "methods of attack"], [core.clips.length, core.clips.length === 1 ? "clip to play" : "clips to play"]];
  const stand = core.datasets.filter((one) => one.stand_in).map((one) => one.name);
  return el("div", { class: "intro" },
    el("p", { class: "lead" }, "Which small changes of a body's joints fool a recogniser of actions, and could a body move like that?"),
    el("dl", { class: "facts" }, facts.filter(([count]) => count).map(([count, text]) => el("div", {}, el("dd", {}, count), el("dt", {}, text)))),
    stand.length ? el("p", { class: "note" }, `${stand.join(", ")}: other data than the papers use, so these numbers are not comparable with published ones (`, el("a", { href: "#about" }, "more"), ").") : null);
}

function drawFilters(bar, draw) {
  const change = (name) => (value) => { board[name] = value; draw(); };
  const focus = document.activeElement, again = focus && bar.contains(focus) ? focus.getAttribute("aria-label") : null;
  const search = el("input", {
    type: "search", placeholder: "Search", "aria-label": "Search attacks",
    oninput: (event) => { board.text = event.target.value; draw(); },
  });
  search.value = board.text;
  const selects = FILTERS.map(([name, label]) => {
    const values = [...new Set(kept(name).map((row) => row[name] || "none"))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (!values.includes(board[name]) && board[name] !== ALL) values.push(board[name]);
    if (new Set(core.attacks.map((row) => row[name] || "none")).size < 2) return null;
    const texts = values.map((value) => [value, name === "threat" && core.threats[value] ? `${value}: ${threatText(value)}` : value]);
    return select(label, [[ALL, "all"], ...texts], board[name], change(name));
  });
  const threat = core.threats[board.threat] ? el("p", { class: "note" }, el("b", {}, board.threat), `: ${threatText(board.threat)}.`) : null;
  const orders = [["feasible_success_if_right", "feasible success"], ["success_if_right", "success"], ["clean_accuracy", "clean accuracy"], ["rms_mm", "rms"], ["attack", "attack"], ["victim", "victim"]];
  const order = el("div", { class: "phone" }, select("Sort by", orders, board.sort, (value) => {
    board.sort = value;
    board.down = !["attack", "victim", "rms_mm"].includes(value);
    draw();
  }));
  const used = board.text || FILTERS.some(([name]) => board[name] !== ALL);
  const clear = el("button", { type: "button", class: "quiet", disabled: !used, onclick: () => {
    for (const [name] of FILTERS) board[name] = ALL;
    board.text = "";
    draw();
    bar.querySelector("input[type=search]").focus();
  } }, "Clear");
  const fold = el("button", { type: "button", class: "fold", "data-fold": "filters", "aria-expanded": String(board.unfolded), onclick: () => { board.unfolded = !board.unfolded; draw(); } }, used ? "Filter and sort (in use)" : "Filter and sort");
  const views = [["list", "Attacks"], ["matrix", "Matrix"]];
  if (core.victims.length || core.certificates.length) views.push(["victims", "Robust victims"]);
  bar.replaceChildren(segmented("View", views, board.view, change("view")), fold, el("div", { class: `filters ${board.unfolded ? "" : "folded"}` }, selects, field("Search", search), board.view === "list" ? order : null, clear), ...(threat ? [threat] : []));
  if (again) {
    const target = [...bar.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === again);
    if (target) {
      target.focus();
      if (target === search) search.setSelectionRange(search.value.length, search.value.length);
    }
  }
}

function drawList(rows, draw) {
  const columns = [["attack", "Attack"], ["victim", "Victim"], ["threat", "Threat model"]];
  const several = core.datasets.length > 1;
  const head = el("tr", {}, columns.map(([key, text]) => header(key, text, "", board, draw)),
    several ? header("dataset", "Dataset", "", board, draw) : null,
    RATES.map(([key, text, title]) => header(key, text, title, board, draw)),
    header("rms_mm", "rms", "The size of the change: the root mean square of the displacement per joint and frame", board, draw),
    header("count", "Clips", "", board, draw));
  const body = el("tbody", {}), order = sorted(rows, board.sort, board.down);
  inPieces(body, order, (row) => listRow(row, several));
  const table = el("table", { class: "board" }, el("caption", { class: "hidden" }, "Attacks"), el("thead", {}, head), body);
  return [el("p", { class: "count" }, `${rows.length} of ${core.attacks.length} rows, one per run of an attack. `,
    "Numbers are per cent with 95 % intervals and counts; in each bar, the part in another shade is the interval. Open a row to see how it was made. ",
    el("button", { type: "button", class: "link", onclick: () => download("leaderboard.csv", boardCsv(rows)) }, "Download as CSV")),
  rows.length ? meanings(rows) : null, rows.length ? el("div", { class: "scroll" }, table) : el("p", { class: "empty" }, "No attack fits these filters.")].filter(Boolean);
}

// What the names in these rows mean.
function meanings(rows) {
  const found = Object.fromEntries(RATES.map(([, name, title]) => [name, title]));
  const has = (wanted) => rows.some((row) => wanted.test(row.attack)), victim = (wanted) => rows.some((row) => wanted.test(row.victim));
  found.rms = "The size of the change: the root mean square of the displacement per joint and frame. It counts three coordinates together, so it can be up to √3 times the limit on one coordinate.";
  if (has(/linf/)) found["linf ε"] = "No coordinate of a joint moves by more than ε.";
  if (has(/l2/)) found["l2 ε"] = "The whole change of a clip is at most ε long (ℓ2 norm).";
  if (has(/β=/)) found["β"] = "The weight of the attack's penalty on violated limits of the body.";
  if (rows.some((row) => row.surrogate)) found["made on …"] = "The clips were made on that network and are judged by the victim (transfer; if both are the same network, a comparison for the others).";
  if (rows.some((row) => row.weak)) found["⚠"] = "The rows show signs that the attack is weaker than it could be; open the row to read them.";
  if (victim(/_small/)) found["_small"] = "A network at a quarter of its width.";
  if (victim(/_whole/)) found["_whole"] = "A network that reads the whole clip.";
  if (victim(/ s\d/)) found["s0, s1, …"] = "The seed of the victim's training.";
  if (victim(/σ=/)) found["σ"] = "The noise that the victim was trained with.";
  for (const name of [...new Set(rows.map((row) => row.threat))].sort()) if (core.threats[name]) found[name] = `${threatText(name)}.`;
  return el("details", { class: "meanings", open: board.explained, ontoggle: (event) => { board.explained = event.target.open; } }, el("summary", {}, "What the names and numbers mean"), pairs(found));
}

function weakSign(text = "This attack may be weaker than it could be") {
  return el("span", { class: "warn", title: text }, " ⚠", el("span", { class: "hidden" }, " may be weak"));
}

// "50 of 430" with its second part below.
function clipCount(text) {
  const cut = text.indexOf(" of ");
  return cut < 0 ? [text] : [text.slice(0, cut), el("small", { class: "once" }, text.slice(cut))];
}

// The first rows at once, the others while the page is already seen.
function inPieces(body, rows, draw) {
  let drawn = 0;
  const more = (count) => {
    body.append(...rows.slice(drawn, drawn + count).map(draw));
    drawn += count;
    if (drawn < rows.length) return;
    body.dataset.complete = "";
    removeEventListener("beforeprint", all);
  };
  const all = () => more(rows.length);
  const next = () => { if (drawn < rows.length) { more(60); afterPaint(next); } };
  addEventListener("beforeprint", all); // paper shows every row
  more(30);
  afterPaint(next);
}

// Once the browser has painted what there is; a hidden page paints nothing, so not later than in 0.3 s.
function afterPaint(act) {
  let done = false;
  const once = () => { if (!done) { done = true; act(); } };
  requestAnimationFrame(() => setTimeout(once, 0));
  setTimeout(once, 300);
}

function listRow(row, several) {
  const [name, note] = nameOf(row);
  const cell = (label, ...content) => el("td", { "data-label": label }, content);
  const title = el("button", { type: "button", class: "open", onclick: (event) => { event.stopPropagation(); row.run ? openRuns([row.run]) : openReported(row); } },
    name, row.weak ? weakSign() : null);
  const badge = row.reported ? el("span", { class: "badge" }, `reported by ${row.reported.by}, not checked`) : null;
  return el("tr", { class: row.reported ? "reported" : "", "data-run": row.run, onclick: () => { row.run ? openRuns([row.run]) : openReported(row); } },
    el("th", { scope: "row", "data-label": "Attack" }, title, note ? el("small", {}, note) : null, row.apart ? el("small", { class: "apart" }, row.apart) : null, row.paper ? el("small", {}, `published: ${row.paper}`) : null, badge),
    cell("Victim", el("span", { class: "once" }, row.victim), row.defense ? el("small", {}, `behind ${row.defense}`) : null),
    el("td", { "data-label": "Threat model", title: threatText(row.threat) }, row.threat),
    several ? cell("Dataset", row.dataset) : null,
    RATES.map(([key, text]) => el("td", { "data-label": text, "data-key": key }, rateCell(row[key], key === "clean_accuracy" ? "calm" : ""))),
    el("td", { "data-label": "rms", "data-key": "rms_mm" }, row.rms_mm.text, row.rms_mm.text ? el("small", { class: "unit" }, ` ${row.small}`) : null),
    el("td", { "data-label": "Clips" }, clipCount(row.clips)));
}

function boardCsv(rows) {
  const names = ["dataset", "threat", "victim", "defense", "attack", "apart", "goal", "access", "surrogate", "clips"];
  const rates = RATES.map(([key]) => key);
  const head = [...names, ...rates.flatMap((key) => [`${key}_percent`, `${key}_low`, `${key}_high`]), "rms_mm", "paper", "run", "reported_by"];
  return csv([head, ...sorted(rows, board.sort, board.down).map((row) => [...names.map((name) => row[name]),
    ...rates.flatMap((key) => [row[key].value, row[key].low, row[key].high]), row.rms_mm.value, row.paper, row.run, row.reported ? row.reported.by : ""])]);
}

// A matrix of attacks by victims: the strongest run of each cell; a click lists all its runs.
function drawMatrix(rows, draw) {
  const metric = segmented("Number", RATES.map(([key, text]) => [key, text]), board.metric, (value) => { board.metric = value; draw(); });
  const groups = new Map();
  for (const row of rows.filter((one) => one.run)) {
    const key = `${row.dataset} · ${core.threats[row.threat] ? `${row.threat}: ${threatText(row.threat)}` : row.threat}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  const tables = [...groups].map(([title, own]) => el("section", {}, el("h3", {}, title), matrixOf(title, own)));
  const note = el("p", { class: "count" }, "Each cell is the strongest run of an attack on a victim; a small number says how many runs there are. ⚠: this run shows signs that the attack is weaker than it could be. Open a cell to see its runs.");
  const save = el("button", { type: "button", class: "link", onclick: () => download("matrix.csv", boardCsv(rows.filter((one) => one.run))) }, "Download as CSV");
  return [el("div", { class: "line" }, metric, scale(), save), note, ...(tables.length ? tables : [el("p", { class: "empty" }, "No attack fits these filters.")])];
}

function scale() {
  return el("div", { class: "scale", "aria-hidden": "true" }, "0 %", el("span", {}), "100 %");
}

function matrixOf(title, rows) {
  const columns = [...new Set(rows.map(victimOf))].sort(), cells = new Map();
  for (const row of rows) {
    const key = nameOf(row).filter(Boolean).join(", ");
    if (!cells.has(key)) cells.set(key, new Map());
    const own = cells.get(key);
    own.set(victimOf(row), [...(own.get(victimOf(row)) || []), row]);
  }
  const best = (own) => Math.max(...[...own.values()].flat().map((row) => row[board.metric].value ?? -1));
  const body = [...cells].sort((a, b) => best(b[1]) - best(a[1])).map(([name, own]) => el("tr", {}, el("th", { scope: "row" }, name),
    columns.map((column) => el("td", {}, matrixCell(own.get(column), name, column)))));
  return el("div", { class: "scroll" }, el("table", { class: "matrix" }, el("caption", { class: "hidden" }, title),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "attack"), columns.map((column) => el("th", { scope: "col" }, column)))), el("tbody", {}, body)));
}

function matrixCell(rows, name, column) {
  if (!rows) return "";
  const top = rows.reduce((a, b) => ((b[board.metric].value ?? -1) > (a[board.metric].value ?? -1) ? b : a));
  const rate = top[board.metric];
  if (rate.value === null) return "";
  return el("button", { type: "button", class: "heat", "--heat": rate.value, "data-dark": rate.value > 55 ? "" : null,
    "aria-label": `${name} on ${column}: ${rate.text}${rows.length > 1 ? `, the strongest of ${rows.length} runs` : ""}`,
    title: rate.text, onclick: () => openRuns(rows.map((row) => row.run)) },
  rate.text.split(" ")[0], rows.length > 1 ? el("sup", {}, rows.length) : null, top.weak ? weakSign() : null);
}

function drawVictims(rows, draw) {
  const fits = (row, names) => names.every((name) => board[name] === ALL || (row[name] || "none") === board[name]);
  const victims = core.victims.filter((row) => fits(row, ["dataset", "threat", "victim", "defense"]) && fitsSearch(row));
  const groups = new Map();
  for (const row of victims) {
    const key = `${row.dataset} · ${core.threats[row.threat] ? `${row.threat}: ${threatText(row.threat)}` : row.threat}`;
    groups.set(key, [...(groups.get(key) || []), row]);
  }
  const found = [...groups].map(([title, own]) => el("section", {}, el("h3", {}, title), victimTable(title, own)));
  const certified = core.certificates.filter((row) => fits(row, ["dataset", "defense"]) && fitsSearch(row));
  if (certified.length) found.push(el("section", {}, el("h3", {}, "Certified accuracy by radius (ℓ2)"), certifiedTable(certified)));
  return [el("p", { class: "count" }, "Accuracy in the worst case: take the clips that every counted attack attacks and that the victim gets right before. The number is the share of them that it still gets right under each of these attacks. The most robust victim is first. "),
    el("p", { class: "count" }, "Only attacks count that see all of the victim (white box, or adaptive to its defense), within this threat model, on at least half as many clips as the longest of them. Attacks made on another network (transfer) and attacks that see scores or labels only do not count, and neither do victims that draw noise. ⚠: an attack that counts shows signs that it is weaker than it could be, so the victim may be less robust than it seems. ",
      el("button", { type: "button", class: "link", onclick: () => download("victims.csv", victimsCsv(victims)) }, "Download as CSV")), ...found];
}

function victimsCsv(rows) {
  const names = ["dataset", "threat", "victim", "defense", "strongest", "attacks", "clips"], rates = ["worst_case", "autoattack", "strongest_success"];
  return csv([[...names, ...rates.flatMap((key) => [`${key}_percent`, `${key}_low`, `${key}_high`])],
    ...rows.map((row) => [...names.map((name) => row[name]), ...rates.flatMap((key) => [row[key].value, row[key].low, row[key].high])])]);
}

function victimTable(title, rows) {
  const heads = ["Victim", "Accuracy in the worst case", "Accuracy under AutoAttack", "Strongest attack", "Its success", "Attacks", "Clips"];
  const cell = (label, ...content) => el("td", { "data-label": label }, content);
  return el("div", { class: "scroll" }, el("table", { class: "board" }, el("caption", { class: "hidden" }, title),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row, place) => el("tr", {},
      el("th", { scope: "row", "data-label": "Victim" }, el("span", { class: "place" }, place + 1), victimOf(row), row.weak ? weakSign("An attack that counts may be weaker than it could be") : null),
      el("td", { "data-label": heads[1], "data-key": "worst_case" }, rateCell(row.worst_case, "good")),
      el("td", { "data-label": heads[2], "data-key": "autoattack" }, rateCell(row.autoattack, "good"), row.autoattack.run ? el("button", { type: "button", class: "link", onclick: () => openRuns([row.autoattack.run]) }, "open") : el("span", { class: "none", title: "AutoAttack was not run" }, "–")),
      cell(heads[3], row.strongest), el("td", { "data-label": heads[4] }, rateCell(row.strongest_success)), attacksCell(heads[5], row), cell(heads[6], row.clips))))));
}

// How many attacks count, and which do not.
function attacksCell(label, row) {
  const few = row.attacks === 1 ? " attack" : " attacks";
  return el("td", { "data-label": label, "data-key": "attacks" },
    el("button", { type: "button", class: "link", "aria-label": `${row.attacks}${few} that count: open`, onclick: () => openRuns(row.counted) }, row.attacks),
    row.left_out.length ? el("small", {}, `not counted: ${row.left_out.map(([count, why]) => `${count} ${why}`).join("; ")}`) : null);
}

function certifiedTable(rows) {
  const radii = Object.keys(rows[0]).filter((key) => key.startsWith("standard_"));
  const heads = ["Victim", "σ", "Clean accuracy", ...radii.map((key) => `r = ${key.slice(9)} ${rows[0].unit}`), "n", "Clips"];
  return el("div", { class: "scroll" }, el("table", { class: "board" }, el("caption", { class: "hidden" }, "Certificates"),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", { onclick: () => openRuns([row.run]) },
      el("th", { scope: "row", "data-label": "Victim" }, el("button", { type: "button", class: "open", onclick: (event) => { event.stopPropagation(); openRuns([row.run]); } }, row.victim), el("small", {}, row.dataset)),
      el("td", { "data-label": "σ" }, row.sigma), el("td", { "data-label": "Clean accuracy" }, rateCell(row.clean_accuracy, "calm")),
      radii.map((key, place) => el("td", { "data-label": heads[place + 3], "data-key": key }, rateCell(row[key], "good"))),
      el("td", { "data-label": "n" }, row.n), el("td", { "data-label": "Clips" }, clipCount(row.clips)))))));
}
