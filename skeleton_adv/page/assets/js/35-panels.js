// Beside the stage: what the victim sees over time, and which joints moved most.

const SMALL = { width: 340, height: 130, left: 44, right: 8, top: 8, bottom: 20 };

function probabilities(clip) {
  const found = clip.windows;
  if (!found) return null;
  if (found.why) return el("div", { class: "panel" }, el("h3", {}, "What the victim sees over time"), el("p", { class: "note" }, `Not shown: ${found.why}.`));
  const cursors = [];
  const chart = (title, rows, whole) => {
    const x = (frame) => SMALL.left + frame / Math.max(1, clip.frames - 1) * (SMALL.width - SMALL.left - SMALL.right);
    const y = (value) => SMALL.height - SMALL.bottom - value * (SMALL.height - SMALL.top - SMALL.bottom);
    const best = found.classes[whole.indexOf(Math.max(...whole))];
    const cursor = svg("line", { class: "cursor", y1: SMALL.top, y2: SMALL.height - SMALL.bottom });
    cursors.push((frame) => { cursor.setAttribute("x1", x(frame)); cursor.setAttribute("x2", x(frame)); });
    const frame = svg("svg", { viewBox: `0 0 ${SMALL.width} ${SMALL.height}`, role: "img", "aria-label": `${title}: the whole clip ${best}, probability ${Math.max(...whole)}` },
      [0, 0.5, 1].map((value) => svg("g", { class: "tick" }, svg("line", { x1: SMALL.left, x2: SMALL.width - SMALL.right, y1: y(value), y2: y(value) }), svg("text", { x: SMALL.left - 5, y: y(value) + 4, "text-anchor": "end" }, 100 * value))),
      svg("text", { class: "tick-title", transform: `translate(11 ${(SMALL.top + SMALL.height - SMALL.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "probability, %"),
      svg("g", { class: "tick" }, svg("text", { x: SMALL.left, y: SMALL.height - 5 }, "frame 1"), svg("text", { x: SMALL.width - SMALL.right, y: SMALL.height - 5, "text-anchor": "end" }, clip.frames)),
      found.classes.map((_, at) => svg("path", { class: `stroke hue-${at % HUES.length}`, d: path(found.middles, rows.map((row) => row[at]), x, y), "stroke-dasharray": dash(at) })), cursor);
    return el("figure", {}, el("figcaption", {}, el("b", {}, title), ` the whole clip: ${best}, ${(100 * Math.max(...whole)).toFixed(0)} %`), frame);
  };
  const key = el("div", { class: "legend small" }, found.classes.map((name, at) => el("span", {}, sample({}, at), name)));
  const note = `Each point is the victim's probability of a class for ${found.width} of the ${clip.frames} frames alone, the window around that frame${found.defense ? ", without the defense" : ""}. ` +
    `The first and last ${Math.floor(found.width / 2)} frames are the middle of no window, so the lines do not reach them. The prediction above is for the whole clip, and the windows may differ from it: the victim was trained on whole clips.`;
  const both = [["clean", found.clean], ["adversarial", found.adversarial]];
  const save = el("button", { type: "button", class: "link", onclick: () => download(`${clip.name}_probabilities.csv`,
    csv([["clip", "middle_frame", ...found.classes], ...both.flatMap(([name, rows]) => rows.map((row, at) => [name, found.middles[at] + 1, ...row]))])) }, "Download as CSV");
  const node = el("div", { class: "panel" }, el("h3", {}, "What the victim sees over time"), chart("Clean", found.clean, found.whole[0]), chart("Adversarial", found.adversarial, found.whole[1]), key, el("p", { class: "note" }, note), save);
  node.cursor = (frame) => { for (const move of cursors) move(frame); };
  return node;
}

function jointRows(clip) {
  return allJoints(clip).map(({ joint, person }) => {
    let sum = 0, count = 0, most = 0, when = 0;
    for (let frame = 0; frame < clip.frames; frame++) {
      if (!clip.there(frame, joint, person)) continue;
      const far = clip.moved(frame, joint, person);
      sum += far;
      count++;
      if (far > most) [most, when] = [far, frame];
    }
    const worst = {};
    for (const kind of MEASURES) {
      worst[kind] = { ratio: 0, frame: 0 };
      for (let frame = 0; frame < clip.frames; frame++) {
        const one = largest(clip, kind, frame, { joint, person });
        if (one.ratio > worst[kind].ratio) worst[kind] = { ratio: one.ratio, frame };
      }
    }
    return { name: jointName(clip, joint, person), joint, person, mean: count ? sum / count : 0, most, when, worst, count };
  }).filter((row) => row.count).sort((a, b) => b.mean - a.mean);
}

// The joints that moved most; a row selects its joint, a number jumps to its frame.
function jointTable(clip, select, jump) {
  const rows = jointRows(clip), body = el("tbody", {}), most = 8;
  const number = (text, frame, over) => el("td", {}, el("button", { type: "button", class: `link ${over ? "over" : ""}`, title: `frame ${frame + 1}`, onclick: (event) => { event.stopPropagation(); jump(frame); } }, text));
  const fill = (shown) => body.replaceChildren(...shown.map((row) => el("tr", { "data-joint": row.joint, "data-person": row.person, onclick: () => select(row) },
    el("th", { scope: "row" }, el("button", { type: "button", class: "open", "aria-pressed": "false", onclick: (event) => { event.stopPropagation(); select(row); } }, row.name)),
    el("td", {}, length(clip, row.mean)), number(length(clip, row.most), row.when, false),
    MEASURES.map((kind) => number(row.worst[kind].ratio ? quantity(clip, kind, row.worst[kind].ratio) : "–", row.worst[kind].frame, row.worst[kind].ratio > 1)))));
  fill(rows.slice(0, most));
  const node = el("div", { class: "panel joints" }, el("h3", {}, "Which joints moved most"),
    el("div", { class: "scroll" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, [["joint", ""], ["mean", "the mean of its displacement"], ["most", "its largest displacement"], ["bones", "the largest change of the length of a bone at this joint"], ["angle", "the largest change of the angle at this joint"], ["speed", "the largest change of its speed"]].map(([head, title]) => el("th", { scope: "col", title }, head)))), body)),
    el("button", { type: "button", class: "link save", onclick: () => download(`${clip.name}_joints.csv`,
      csv([["joint", "mean", "most", "most_at_frame", "bone", "angle_rad", "speed"], ...rows.map((row) => [row.name, row.mean, row.most, row.when + 1, ...MEASURES.map((kind) => row.worst[kind].ratio * clip.limits[kind])])])) }, "Download as CSV"),
    rows.length > most ? el("button", { type: "button", class: "link", onclick: (event) => { fill(rows); node.mark(node.chosen ?? null); event.target.remove(); } }, `Show all ${rows.length} joints`) : null,
    el("p", { class: "note" }, `Select a joint to see only its violations in the strips; a number jumps to the frame where it occurs. Numbers beyond a limit (${MEASURES.map((kind) => `${kind} ${limitText(clip, kind)}`).join(", ")}${clip.limits.own ? "" : ", the paper's limits"}) are marked ▲. Angles are the paper's estimate.`));
  node.mark = (joint) => {
    node.chosen = joint;
    for (const row of body.children) {
      const on = isJoint(joint, Number(row.dataset.joint), Number(row.dataset.person));
      row.classList.toggle("chosen", on);
      row.querySelector(".open").setAttribute("aria-pressed", String(on));
    }
  };
  return node;
}
