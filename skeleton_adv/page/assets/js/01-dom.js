// Elements, downloads and the clipboard. Text is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(2)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

const byId = (id) => document.getElementById(id);

function say(text) {
  byId("live").textContent = text;
}

function download(name, text, type = "text/csv") {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = el("a", { href: url, download: name.replace(/[^\w.-]+/g, "_") });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say(`${name} is saved`);
}

// A spreadsheet would run a cell that begins with one of = + - @ as a formula; numbers are left as they are.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text) && !/^-?[\d.]+(e-?\d+)?$/i.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(rows) {
  return rows.map((row) => row.map(csvCell).join(",")).join("\n") + "\n";
}

async function copy(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const area = el("textarea", { class: "hidden" });
    area.value = text;
    (byId("drawer").open ? byId("drawer") : document.body).append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = done ? "Copied" : "Select the text and copy it";
  setTimeout(() => { button.textContent = before; }, 1600);
}

function option(value, text, chosen) {
  return el("option", { value, selected: value === chosen }, text);
}

function field(label, control) {
  return el("label", { class: "field" }, el("span", {}, label), control);
}

function select(label, values, chosen, changed) {
  const control = el("select", { onchange: (event) => changed(event.target.value), "aria-label": label },
    values.map(([value, text]) => option(value, text, chosen)));
  return field(label, control);
}

// Replaces what an element contains; the control that had the focus has it again.
function redraw(node, ...content) {
  const focused = document.activeElement, label = node.contains(focused) ? focused.getAttribute("aria-label") : null;
  node.replaceChildren(...content);
  if (label) [...node.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === label)?.focus();
}

function segmented(label, values, chosen, changed) {
  const group = el("div", { class: "segments", role: "group", "aria-label": label });
  for (const [value, text] of values) {
    group.append(el("button", {
      type: "button", "data-value": value, "aria-pressed": String(value === chosen),
      onclick: (event) => {
        for (const one of group.children) one.setAttribute("aria-pressed", String(one === event.currentTarget));
        changed(value);
      },
    }, text));
  }
  return group;
}

function tip(text, x, y) {
  const box = byId("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const width = box.offsetWidth, height = box.offsetHeight;
  box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
  box.style.top = `${y + 18 + height > innerHeight ? y - height - 10 : y + 18}px`;
}
