// Curves: success by size and budget, certificates, convergence, and the matrix of transfer.

const KINDS = { size: "Success by size of the change", budget: "Accuracy by budget", certified: "Certified accuracy by radius", convergence: "Convergence", transfer: "Transfer" };

async function curvesView(wanted) {
  const { charts } = await part("charts");
  if (!charts.length) return el("p", { class: "empty" }, "There is no curve, because there are no runs to draw.");
  const place = el("div", {}), root = el("section", { class: "curves", "aria-label": "Curves" });
  const kinds = Object.entries(KINDS).filter(([kind]) => charts.some((chart) => chart.kind === kind));
  const choose = el("div", { class: "filters" });
  const show = (at) => {
    history.replaceState(null, "", `#curves/${charts[at].name}`);
    place.replaceChildren(chartView(charts[at]));
  };
  const size = (chart) => (chart.lines || chart.cells).length;
  const pick = (kind, first) => {
    const own = charts.map((chart, at) => [at, chart]).filter(([, chart]) => chart.kind === kind);
    const fullest = own.reduce((a, b) => (size(b[1]) > size(a[1]) ? b : a));
    const at = first ?? fullest[0];
    choose.replaceChildren(own.length > 1 ? select("Chart", own.map(([one, chart]) => [String(one), `${chart.dataset}: ${chart.title.replace(/^[^:]*: /, "")}`]), String(at), (value) => show(Number(value))) : "");
    show(at);
  };
  const found = charts.findIndex((chart) => chart.name === wanted), start = found >= 0 ? charts[found].kind : kinds[0][0];
  root.append(el("div", { class: "controls" }, segmented("Kind of curve", kinds, start, (kind) => pick(kind)), choose), place);
  pick(start, found >= 0 ? found : undefined);
  return root;
}

function chartView(chart) {
  const content = chart.cells ? [transferMatrix(chart)] : lineChart(chart);
  return el("article", { class: "chart", "data-chart": chart.name }, el("h2", {}, chart.title), el("p", { class: "note" }, chart.note), el("div", { class: chart.cells ? "" : "plot" }, content),
    el("button", { type: "button", class: "link", onclick: () => download(`${chart.name}.csv`, chartCsv(chart)) }, "Download the data as CSV"));
}

function transferMatrix(chart) {
  const grid = chart.down.map(() => chart.across.map(() => null));
  for (const cell of chart.cells) grid[cell.row][cell.column] = cell;
  return el("div", { class: "scroll" }, el("table", { class: "matrix" }, el("caption", { class: "hidden" }, chart.title),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "made on ↓ · judged by →"), chart.across.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, grid.map((row, at) => el("tr", {}, el("th", { scope: "row" }, chart.down[at]), row.map((cell) => el("td", {}, cell ? el("button", {
      type: "button", class: "heat", "--heat": cell.value, "data-dark": cell.value > 55 ? "" : null, title: `${cell.text} % (${cell.count})`, onclick: () => openRuns([cell.run]),
    }, cell.text, el("small", {}, cell.count)) : "")))))));
}
