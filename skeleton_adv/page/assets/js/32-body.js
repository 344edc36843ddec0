// Bodies on a canvas: the floor, shadows, bones from far to near, arrows of displacement.

// From grey within the limit to orange and dark red far beyond it; width changes too, not only colour.
function severity(ratio) {
  if (ratio <= 1) return 0;
  return Math.min(1, 0.25 + 0.75 * Math.log(ratio) / Math.log(60));
}

function severityColour(ratio, within) {
  const s = severity(ratio);
  if (!s) return within;
  const stops = isDark() ? [[255, 209, 102], [247, 127, 0], [255, 77, 77]] : [[245, 170, 20], [213, 78, 0], [120, 0, 40]];
  const first = s < 0.5 ? 0 : 1, part = 2 * s - first;
  return `rgb(${stops[first].map((one, k) => Math.round(one + (stops[first + 1][k] - one) * part)).join(" ")})`;
}

function colours() {
  const read = {};
  for (const name of ["ink", "soft", "paper", "stage", "clean", "adversarial", "grid", "shadow", "within", "accent"]) read[name] = colour(name);
  return read;
}

function drawFloor(pen, lens, clip, ink) {
  if (clip.flat) return;
  const reach = Math.max(1, Math.ceil(clip.radius * 2) / 2), step = clip.unit === "m" ? 0.5 : clip.radius / 2;
  const [x0, z0] = [Math.round(clip.middle[0] / step) * step, Math.round(clip.middle[2] / step) * step];
  pen.strokeStyle = ink.grid;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let at = -reach; at <= reach + 1e-9; at += step) {
    for (const [a, b] of [[[x0 + at, clip.floor, z0 - reach], [x0 + at, clip.floor, z0 + reach]], [[x0 - reach, clip.floor, z0 + at], [x0 + reach, clip.floor, z0 + at]]]) {
      const p = lens(a), q = lens(b);
      pen.moveTo(p[0], p[1]);
      pen.lineTo(q[0], q[1]);
    }
  }
  pen.stroke();
}

function drawShadow(pen, lens, clip, values, frame, ink) {
  if (clip.flat) return;
  pen.strokeStyle = ink.shadow;
  pen.lineCap = "round";
  pen.lineJoin = "round";
  for (let person = 0; person < clip.people; person++) {
    let size = 0;
    pen.beginPath(); // one path for a body, so that its shadow is not darker where bones overlap
    for (const [joint, parent] of clip.bones) {
      if (!clip.there(frame, joint, person) || !clip.there(frame, parent, person)) continue;
      const a = clip.point(values, frame, joint, person), b = clip.point(values, frame, parent, person);
      const p = lens([a[0], clip.floor, a[2]]), q = lens([b[0], clip.floor, b[2]]);
      size = Math.max(size, p[2]);
      pen.moveTo(p[0], p[1]);
      pen.lineTo(q[0], q[1]);
    }
    pen.lineWidth = 0.06 * size * bodySize(clip);
    pen.stroke();
  }
}

function bodySize(clip) {
  return clip.flat ? 0.35 : Math.min(1.2, clip.radius);
}

// look: { bone(entry, person) -> colour, joint(joint, person) -> colour, alpha, wide(entry, person), selected }
function drawBody(pen, lens, clip, values, frame, look, ink) {
  const strokes = [];
  for (let person = 0; person < clip.people; person++) {
    clip.bones.forEach(([joint, parent], entry) => {
      if (!clip.there(frame, joint, person) || !clip.there(frame, parent, person)) return;
      const p = lens(clip.point(values, frame, joint, person)), q = lens(clip.point(values, frame, parent, person));
      strokes.push({ depth: (p[3] + q[3]) / 2, p, q, entry, person });
    });
    for (let joint = 0; joint < clip.joints_count; joint++) {
      if (clip.there(frame, joint, person)) {
        const p = lens(clip.point(values, frame, joint, person));
        strokes.push({ depth: p[3] - 0.02, p, joint, person });
      }
    }
  }
  strokes.sort((a, b) => b.depth - a.depth);
  pen.globalAlpha = look.alpha ?? 1;
  pen.lineCap = "round";
  const size = bodySize(clip);
  for (const one of strokes) {
    if (one.joint !== undefined) drawJoint(pen, clip, one, look, ink, size);
    else {
      const wide = (look.wide ? look.wide(one.entry, one.person) : 1) * 0.03 * size * one.p[2];
      pen.beginPath();
      pen.moveTo(one.p[0], one.p[1]);
      pen.lineTo(one.q[0], one.q[1]);
      if (!look.ghost) {
        pen.strokeStyle = ink.stage;
        pen.lineWidth = Math.max(3, wide + 2.5);
        pen.stroke();
      }
      pen.strokeStyle = look.bone(one.entry, one.person);
      pen.lineWidth = Math.max(1.5, wide);
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
}

// The number of each person above its highest joint, if there are several.
function drawNumbers(pen, lens, clip, values, frame, ink) {
  if (clip.persons.length < 2) return;
  pen.fillStyle = ink.soft;
  pen.font = "600 13px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const person of clip.persons) {
    let top = null;
    for (let joint = 0; joint < clip.joints_count; joint++) {
      if (!clip.there(frame, joint, person)) continue;
      const p = lens(clip.point(values, frame, joint, person));
      if (!top || p[1] < top[1]) top = p;
    }
    if (top) pen.fillText(String(person + 1), top[0], top[1] - Math.max(12, 0.085 * bodySize(clip) * top[2]));
  }
}

function drawJoint(pen, clip, { p, joint, person }, look, ink, size) {
  const head = /head$/.test(clip.joints[joint]), chosen = isJoint(look.selected, joint, person);
  const radius = (head ? 0.055 : 0.021) * size * p[2];
  pen.beginPath();
  pen.arc(p[0], p[1], Math.max(1.2, radius), 0, 2 * Math.PI);
  pen.fillStyle = look.joint(joint, person);
  pen.fill();
  if (chosen) {
    pen.beginPath();
    pen.arc(p[0], p[1], Math.max(7, radius * 2.2), 0, 2 * Math.PI);
    pen.strokeStyle = ink.accent;
    pen.lineWidth = 2.5;
    pen.stroke();
  }
}

function drawArrows(pen, lens, clip, frame, times, ink) {
  pen.lineJoin = pen.lineCap = "round";
  for (let person = 0; person < clip.people; person++) {
    for (let joint = 0; joint < clip.joints_count; joint++) {
      if (!clip.there(frame, joint, person)) continue;
      const a = clip.point(clip.clean, frame, joint, person), b = clip.point(clip.adversarial, frame, joint, person);
      const p = lens(a), q = lens(a.map((one, axis) => one + times * (b[axis] - one)));
      const far = Math.hypot(q[0] - p[0], q[1] - p[1]);
      if (far < 4) continue;
      const tipSize = Math.min(8, far * 0.45), ux = (q[0] - p[0]) / far, uy = (q[1] - p[1]) / far;
      pen.beginPath();
      pen.moveTo(p[0], p[1]);
      pen.lineTo(q[0], q[1]);
      pen.lineTo(q[0] - ux * tipSize - uy * tipSize * 0.55, q[1] - uy * tipSize + ux * tipSize * 0.55);
      pen.lineTo(q[0] - ux * tipSize + uy * tipSize * 0.55, q[1] - uy * tipSize - ux * tipSize * 0.55);
      pen.lineTo(q[0], q[1]);
      for (const [shade, width] of [[ink.stage, 4], [ink.ink, 1.6]]) { // a halo, so that it is seen on a bone
        pen.strokeStyle = pen.fillStyle = shade;
        pen.lineWidth = width;
        pen.stroke();
        pen.fill();
      }
    }
  }
}

function plainLook(shade, more = {}) {
  return { bone: () => shade, joint: () => shade, ...more };
}

// Bones, or joints for angles and speeds, by how far beyond their limit they are in this frame.
function limitLook(clip, kind, frame, ink, more = {}) {
  if (kind === "bone") {
    return { bone: (entry, person) => severityColour(clip.ratio("bone", frame, entry, person), ink.within), joint: () => ink.within,
      wide: (entry, person) => 1 + 0.9 * severity(clip.ratio("bone", frame, entry, person)), ...more };
  }
  return { bone: () => ink.within, joint: (joint, person) => severityColour(clip.ratio(kind, frame, joint, person), ink.within), wide: () => 0.7, ...more };
}
