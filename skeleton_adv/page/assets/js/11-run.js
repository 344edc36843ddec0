// How a cell was made: the runs behind it, in a dialog.

function drawer(title, ...content) {
  const box = byId("drawer");
  const close = el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => box.close() }, "×");
  box.replaceChildren(el("div", { class: "inside" }, el("div", { class: "top" }, el("h2", { id: "drawer-title" }, title), close), content));
  if (!box.open) box.showModal();
  box.scrollTop = 0;
  close.focus();
}

async function openRuns(keys) {
  const known = (await part("facts")).runs;
  if (keys.length === 1) return openRun(keys[0], known[keys[0]]);
  const rows = new Map(core.attacks.map((row) => [row.run, row]));
  drawer(`${keys.length} runs`, el("ul", { class: "runs" }, keys.map((key) => {
    const row = rows.get(key);
    return el("li", {}, el("button", { type: "button", class: "open", onclick: () => openRun(key, known[key]) }, known[key].title),
      el("small", {}, `${known[key].identity}${row ? ` · success ${row.success_if_right.text} · feasible ${row.feasible_success_if_right.text}` : ""}`));
  })));
}

function pairs(content) {
  return el("dl", { class: "pairs" }, Object.entries(content).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value === null ? "none" : String(value)))));
}

async function openRun(key, facts) {
  const row = core.attacks.find((one) => one.run === key);
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => copy(facts.command, button));
  const clips = el("div", {});
  drawer(facts.title,
    el("p", { class: "note" }, `${facts.clips} clips ${facts.data}. Run ${facts.identity}.`),
    facts.weak.length ? el("div", { class: "alert", role: "note" }, el("b", {}, "Signs that this attack is weaker than it could be"), el("ul", {}, facts.weak.map((text) => el("li", {}, text)))) : null,
    facts.uncommitted ? el("div", { class: "alert", role: "note" }, el("b", {}, "Uncommitted changes"), ": the code differed from its commit when this was run, so the commit alone may not repeat this run.") : null,
    row ? el("div", { class: "tiles" }, [...RATES, ["adv_accuracy", "Accuracy under attack"], ["success", "Success on all clips, with those wrong before"]].filter(([name]) => row[name] && row[name].text).map(([name, text]) =>
      el("div", { class: "tile" }, el("span", {}, text), rateCell(row[name], name === "clean_accuracy" ? "calm" : name === "adv_accuracy" ? "good" : "")))) : null,
    row && row.apart ? el("p", {}, `What distinguishes it from runs of the same name: ${row.apart}.`) : null,
    row && row.paper ? el("p", {}, `The published value: ${row.paper}.`) : null,
    el("h3", {}, "Command"), el("div", { class: "command" }, el("code", {}, facts.command), button),
    clips,
    el("h3", {}, "Digests (SHA-256)"), pairs(facts.digests),
    el("h3", {}, "Versions and machine"), pairs({ ...facts.versions, ...facts.made }),
    facts.remarks.length ? el("ul", {}, facts.remarks.map((text) => el("li", {}, text))) : null,
    el("details", {}, el("summary", {}, "All settings that can change a number"), pairs(facts.settings)));
  drawClips(clips, key);
}

async function drawClips(place, key) {
  const all = await part("rows"), own = all.runs[key];
  const played = new Map(core.clips.filter((clip) => clip.run === key).map((clip) => [clip.name, clip]));
  if (!own) return;
  const names = all.arrays[`n${own.place}`], codes = all.arrays[`p${own.place}`], sizes = all.arrays[`s${own.place}`], count = names.length;
  const row = core.attacks.find((one) => one.run === key), unit = row ? row.small : "mm";
  const heads = ["clip", "class", "before", "after", "fooled", "feasible", `rms, ${unit}`];
  const rows = Array.from({ length: count }, (_, at) => {
    const name = all.names[names[at]], flag = codes[3 * count + at];
    return [name, ...[0, 1, 2].map((one) => all.classes[codes[one * count + at]]), !(flag & 4) ? "was wrong already" : flag & 1 ? "yes" : "no", flag & 2 ? "yes" : "no", sizes[at] === 65535 ? "" : (sizes[at] / 100).toFixed(2)];
  });
  const most = 60;
  const body = el("tbody", {});
  const fill = (shown) => body.replaceChildren(...shown.map((row) => el("tr", {}, row.map((value, at) => el("td", {},
    at === 0 && played.has(value) ? el("button", { type: "button", class: "link", onclick: () => { byId("drawer").close(); go(`player/${played.get(value).id}`); } }, `▶ ${value}`) : value)))));
  const first = [...rows].sort((a, b) => played.has(b[0]) - played.has(a[0]));
  fill(first.slice(0, most));
  const more = el("button", { type: "button", class: "link", onclick: (event) => { fill(first); event.target.remove(); } }, `Show all ${count}`);
  place.replaceChildren(el("h3", {}, `Clips (${count})`),
    el("p", { class: "note" }, played.size ? `▶ marks the ${played.size} that can be played. ` : "The clips of this run were not saved, so they cannot be played. ",
      el("button", { type: "button", class: "link", onclick: () => download("clips.csv", csv([heads, ...rows])) }, "Download as CSV")),
    el("div", { class: "scroll low" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), body)),
    ...(count > most ? [more] : []));
}

function openReported(row) {
  drawer(`${row.attack} on ${victimOf(row)}`,
    el("div", { class: "alert", role: "note" }, `These numbers are reported by ${row.reported.by} and were not checked here.`),
    pairs({ reference: row.reported.reference, dataset: row.dataset, "threat model": threatText(row.threat), clips: row.clips, goal: row.goal, access: row.access }),
    el("div", { class: "tiles" }, RATES.filter(([name]) => row[name].text).map(([name, text]) => el("div", { class: "tile" }, el("span", {}, text), rateCell(row[name])))));
}
