// Charts of lines as SVG: the pointer, or the arrow keys, show the numbers.

const WIDE = { width: 760, height: 400, left: 58, right: 16, top: 14, bottom: 48 };
const NARROW = { width: 400, height: 340, left: 52, right: 10, top: 10, bottom: 46 }; // on a phone
let BOX = WIDE;

function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function lineChart(chart) {
  BOX = innerWidth > 720 ? WIDE : NARROW;
  const shown = new Set(chart.lines.map((_, at) => at));
  if (chart.lines.length > 8) { // only the six that end highest, which are also first in the legend
    chart = { ...chart, lines: [...chart.lines].sort((a, b) => b.y.at(-1) - a.y.at(-1)) };
    for (let at = 6; at < chart.lines.length; at++) shown.delete(at);
  }
  const frame = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", tabindex: "0", "aria-label": `${chart.title}. ${chart.y} by ${chart.x}. Arrow keys read the values; the data can be downloaded.` });
  const legend = el("div", { class: "legend" });
  const draw = () => drawLines(frame, chart, shown);
  const keys = chart.lines.map((line, at) => {
    const box = el("input", { type: "checkbox", checked: shown.has(at) });
    box.addEventListener("change", () => { box.checked ? shown.add(at) : shown.delete(at); draw(); });
    return [box, at, el("label", {}, box, sample(line, at), el("span", {}, line.label))];
  });
  const all = (on) => () => { for (const [box, at] of keys) { box.checked = on; on ? shown.add(at) : shown.delete(at); } draw(); };
  if (keys.length > 8) legend.append(el("div", { class: "line" }, el("button", { type: "button", class: "link", onclick: all(true) }, "all"), el("button", { type: "button", class: "link", onclick: all(false) }, "none")));
  legend.append(...keys.map(([, , label]) => label));
  draw();
  return [frame, legend];
}

function sample(line, at) {
  return svg("svg", { class: "sample", viewBox: "0 0 26 10", width: 26, height: 10, "aria-hidden": "true" },
    svg("line", { x1: 1, x2: 25, y1: 5, y2: 5, class: `stroke hue-${at % HUES.length}`, "stroke-dasharray": line.dash ? "2 3" : dash(at) }));
}

function drawLines(frame, chart, shown) {
  const lines = chart.lines.map((line, at) => ({ ...line, at })).filter((line) => shown.has(line.at));
  const xs = lines.flatMap((line) => line.x), ys = lines.flatMap((line) => line.y);
  const right = Math.max(...xs, 1e-9), left = Math.min(0, ...xs);
  const top = chart.free ? Math.max(...ys, 1e-9) * 1.05 : 100, bottom = chart.free ? Math.min(0, ...ys) : 0;
  const x = (value) => BOX.left + (value - left) / (right - left) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.height - BOX.bottom - (value - bottom) / (top - bottom) * (BOX.height - BOX.top - BOX.bottom);
  const grid = [
    ...ticks(bottom, top, 5).map((value) => svg("g", { class: "tick" }, svg("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value) }), svg("text", { x: BOX.left - 8, y: y(value) + 4, "text-anchor": "end" }, value))),
    ...ticks(left, right, 7).map((value) => svg("g", { class: "tick" }, svg("text", { x: x(value), y: BOX.height - BOX.bottom + 18, "text-anchor": "middle" }, value))),
    svg("text", { class: "axis", x: (BOX.left + BOX.width - BOX.right) / 2, y: BOX.height - 8, "text-anchor": "middle" }, chart.x),
    svg("text", { class: "axis", transform: `translate(14 ${(BOX.top + BOX.height - BOX.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, chart.y)];
  const bands = lines.length <= 4 ? lines.filter((line) => line.low) : [];
  const drawn = [
    ...bands.map((line) => svg("path", { class: `band hue-${line.at % HUES.length}`, d: `M${[...corners(line.x, line.high, chart.step), ...corners(line.x, line.low, chart.step).reverse()].map(([value, height]) => `${x(value)} ${y(height)}`).join(" L")} Z` })),
    ...lines.map((line) => svg("path", { class: `stroke hue-${line.at % HUES.length}`, d: path(line.x, line.y, x, y, chart.step), "stroke-dasharray": line.dash ? "2 3" : dash(line.at) })),
    ...lines.filter((line) => line.marks).flatMap((line) => line.x.map((value, at) => svg("circle", { class: `dot hue-${line.at % HUES.length}`, cx: x(value), cy: y(line.y[at]), r: 3.5 })))];
  const cursor = svg("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  frame.replaceChildren(...grid, ...drawn, cursor);
  hover(frame, chart, lines, { x, left, right, cursor });
}

// The points of a line; a step changes after a point (what was reached there) or before it (what holds up to there).
function corners(xs, ys, step) {
  return xs.flatMap((value, at) => {
    if (at && step === "after") return [[value, ys[at - 1]], [value, ys[at]]];
    if (at && step === "before") return [[xs[at - 1], ys[at]], [value, ys[at]]];
    return [[value, ys[at]]];
  });
}

function path(xs, ys, x, y, step) {
  return `M${corners(xs, ys, step).map(([value, height]) => `${x(value)} ${y(height)}`).join(" L")}`;
}

function valueAt(line, place, step) {
  let at = line.x.findIndex((value) => value > place) - 1;
  if (at < -1) at = line.x.length - 1;
  if (at < 0) return null;
  if (step === "before" && at + 1 < line.x.length && place > line.x[at]) at += 1;
  if (!step && at + 1 < line.x.length && line.x[at + 1] - place < place - line.x[at]) at += 1;
  return at;
}

function hover(frame, chart, lines, { x, left, right, cursor }) {
  let place = left;
  const show = (at, cx, cy) => {
    const texts = lines.map((line) => [line, valueAt(line, at, chart.step)]).filter(([, one]) => one !== null)
      .sort((a, b) => b[0].y[b[1]] - a[0].y[a[1]])
      .map(([line, one]) => `${line.y[one]}${line.low ? ` [${line.low[one]}, ${line.high[one]}]` : ""}  ${line.label}`);
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("visibility", "visible");
    tip(`${chart.x}: ${Number(at.toPrecision(3))}\n${texts.slice(0, 14).join("\n")}${texts.length > 14 ? `\n… and ${texts.length - 14} more` : ""}`, cx, cy);
    return texts;
  };
  frame.onpointermove = (event) => {
    const box = frame.getBoundingClientRect(), scaled = (event.clientX - box.left) * BOX.width / box.width;
    place = Math.max(left, Math.min(right, left + (scaled - BOX.left) / (BOX.width - BOX.left - BOX.right) * (right - left)));
    show(place, event.clientX, event.clientY);
  };
  const hide = () => { tip(""); cursor.setAttribute("visibility", "hidden"); };
  frame.onpointerleave = hide;
  frame.onblur = hide;
  frame.onkeydown = (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    place = Math.max(left, Math.min(right, place + way * (right - left) / 40));
    const box = frame.getBoundingClientRect();
    say(show(place, box.left + x(place) * box.width / BOX.width, box.top + 40).slice(0, 6).join("; "));
  };
}

function chartCsv(chart) {
  if (chart.cells) return csv([["made on", "judged by", "success_percent", "count"], ...chart.cells.map((cell) => [chart.down[cell.row], chart.across[cell.column], cell.value, cell.count])]);
  return csv([["curve", chart.x, chart.y, "low", "high"], ...chart.lines.flatMap((line) => line.x.map((value, at) => [line.label, value, line.y[at], line.low ? line.low[at] : "", line.high ? line.high[at] : ""]))]);
}
