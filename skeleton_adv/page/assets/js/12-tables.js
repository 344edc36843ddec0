// The declared tables, cell by cell as the command line writes them.

async function tablesView(wanted) {
  const { tables } = await part("tables");
  const root = el("section", { class: "tables", "aria-label": "Tables" });
  const place = el("div", {});
  const names = tables.map((table) => [`${table.dataset}/${table.name}`, `${table.dataset}: ${table.heading.split(", on ")[0]}`]);
  if (!names.length) return el("p", { class: "empty" }, "There is no table, because there are no runs.");
  const show = (name) => place.replaceChildren(tableView(tables.find((one) => `${one.dataset}/${one.name}` === name) || tables[0]));
  const first = names.some(([name]) => name === wanted) ? wanted : names[0][0];
  root.append(el("div", { class: "controls" }, select("Table", names, first, (name) => { history.replaceState(null, "", `#tables/${name}`); show(name); })), place);
  show(first);
  return root;
}

function tableView(table) {
  return el("article", { "data-table": `${table.dataset}/${table.name}` }, el("h2", {}, table.heading),
    table.common ? el("p", {}, table.common) : null,
    grid(table.heads, table.rows, table.runs, `${table.dataset}_${table.name}`),
    el("p", { class: "note wide" }, table.about),
    table.further.map((more, place) => [el("h3", {}, more.heading), more.common ? el("p", {}, more.common) : null, grid(more.heads, more.rows, [], `${table.dataset}_${table.name}_${place + 1}`)]),
    table.weak.length ? [el("h3", {}, "Signs that an attack is weaker than it could be"), el("ul", {}, table.weak.map((text) => el("li", {}, text)))] : null,
    el("details", {}, el("summary", {}, `Made by ${table.commands.length} command${table.commands.length === 1 ? "" : "s"}`), el("pre", {}, table.commands.join("\n"))));
}

function grid(heads, rows, runs, name) {
  const state = { at: -1, down: false };
  const body = el("tbody", {}), head = el("tr", {});
  const number = (text) => { const found = /^-?[\d.]+/.exec(text); return found ? Number(found[0]) : null; };
  const draw = () => {
    const order = rows.map((_, at) => at);
    if (state.at >= 0) {
      order.sort((a, b) => {
        const x = rows[a][state.at], y = rows[b][state.at], p = number(x), q = number(y);
        if (!x || !y) return !x - !y;
        const by = p !== null && q !== null ? p - q : x.localeCompare(y);
        return state.down ? -by : by;
      });
    }
    head.replaceChildren(...heads.map((text, at) => el("th", { scope: "col", "aria-sort": state.at === at ? (state.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", onclick: () => { state.down = state.at === at && !state.down; state.at = at; draw(); head.children[at].firstChild.focus(); } }, text, el("span", { "aria-hidden": "true" }, state.at === at ? (state.down ? " ↓" : " ↑") : "")))));
    body.replaceChildren(...order.map((at) => {
      const own = runs[at] || [];
      return el("tr", { class: own.length ? "linked" : "", onclick: () => { if (own.length && !String(getSelection())) openRuns(own); } },
        rows[at].map((text, column) => el("td", { class: text.length > 44 ? "long" : null }, column === 0 && own.length ? el("button", { type: "button", class: "open", onclick: (event) => { event.stopPropagation(); openRuns(own); } }, text || "open") : text)));
    }));
  };
  draw();
  return el("div", {}, el("div", { class: "scroll" }, el("table", { class: "plain" }, el("thead", {}, head), body)),
    el("button", { type: "button", class: "link", onclick: () => download(`${name}.csv`, csv([heads, ...rows])) }, "Download as CSV"));
}
