// Under the slider: for each frame, how far the worst bone, angle and speed are beyond their limits.

const TOP = 60; // times the limit, where the scale ends
const LINE = 0.22; // the height of the limit
const MEASURE_NAMES = { bone: "Bone length", angle: "Angle", speed: "Speed" };

class Strip {
  constructor(jump) {
    this.jump = jump;
    this.rows = el("div", { class: "strip" });
    this.node = el("div", { class: "strips", role: "group", "aria-label": "Violations by frame" }, this.rows);
  }

  show(clip, joint) {
    this.clip = clip;
    this.joint = joint;
    this.canvases = {};
    this.rows.replaceChildren(...MEASURES.map((kind) => this.row(kind)),
      el("p", { class: "note" }, `Height and colour: how many times the limit, on a logarithmic scale from 1 to ${TOP}; each bar is a frame. `,
        el("button", { type: "button", class: "link", onclick: () => download(`${clip.name}_violations.csv`, this.csv()) }, "Download as CSV")));
    this.draw(0);
  }

  // The worst entry of each frame: the quantity itself, in radians for an angle, otherwise as a share.
  csv() {
    const { clip } = this, worst = Object.fromEntries(MEASURES.map((kind) => [kind, this.worst(kind)]));
    const cells = (kind, frame) => {
      const one = worst[kind][frame];
      return [Number((one.ratio * clip.limits[kind]).toPrecision(4)), entryName(clip, kind, one.entry, one.person)];
    };
    return csv([["frame", "seconds", "bone", "bone_of", "angle_rad", "angle_of", "speed", "speed_of"],
      ...Array.from({ length: clip.frames }, (_, frame) => [frame + 1, Number((frame * clip.dt).toFixed(4)), ...MEASURES.flatMap((kind) => cells(kind, frame))])]);
  }

  worst(kind) {
    const { clip, joint } = this;
    if (joint === null) return clip.worst[kind];
    return Array.from({ length: clip.frames }, (_, frame) => largest(clip, kind, frame, joint));
  }

  row(kind) {
    const { clip } = this, values = this.worst(kind);
    const at = values.reduce((best, one, frame) => (one.ratio > values[best].ratio ? frame : best), 0), top = values[at];
    const canvas = el("canvas", { class: "cells", "data-kind": kind, "aria-hidden": "true" });
    const frameOf = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.max(0, Math.min(clip.frames - 1, Math.floor((event.clientX - box.left) / box.width * clip.frames)));
    };
    canvas.addEventListener("click", (event) => this.jump(frameOf(event)));
    canvas.addEventListener("pointermove", (event) => {
      const frame = frameOf(event), one = values[frame];
      tip(`frame ${frame + 1}: ${one.entry < 0 ? "no change" : `${quantity(clip, kind, one.ratio)}, ${entryName(clip, kind, one.entry, one.person)}\n${Number(one.ratio.toPrecision(2))} times the limit`}\nlimit ${limitText(clip, kind)}`, event.clientX, event.clientY);
    });
    canvas.addEventListener("pointerleave", () => tip(""));
    this.canvases[kind] = [canvas, values];
    const over = values.filter((one) => one.ratio > 1).length;
    const text = top.ratio > 1
      ? `${quantity(clip, kind, top.ratio)} at ${entryName(clip, kind, top.entry, top.person)}, frame ${at + 1}; beyond ${limitText(clip, kind)} in ${over} of ${clip.frames} frames`
      : `within ${limitText(clip, kind)} in every frame`;
    return el("div", { class: "measure" }, el("b", {}, MEASURE_NAMES[kind]), el("span", { class: "scale-of", "aria-hidden": "true" }, el("i", {}, `${TOP}×`), el("i", {}, "limit")), canvas,
      el("button", { type: "button", class: "link", "data-kind": kind, onclick: () => this.jump(at) }, text));
  }

  draw(frame) {
    if (!this.clip || !this.canvases) return;
    const ink = colours();
    for (const kind of MEASURES) {
      const [canvas, values] = this.canvases[kind], width = canvas.clientWidth, height = canvas.clientHeight;
      if (!width) continue;
      const ratio = Math.min(2, devicePixelRatio || 1);
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d"), each = canvas.width / values.length;
      values.forEach((one, at) => {
        const part = one.ratio > 1 ? LINE + (1 - LINE) * Math.min(1, Math.log(one.ratio) / Math.log(TOP)) + 0.02 : LINE * one.ratio;
        pen.fillStyle = severityColour(one.ratio, ink.within);
        pen.fillRect(at * each, canvas.height * (1 - part), Math.max(1, each - ratio * (each > 4 * ratio ? 1 : 0)), canvas.height * part);
      });
      pen.fillStyle = ink.soft;
      for (let left = 0; left < canvas.width; left += 6 * ratio) pen.fillRect(left, Math.round(canvas.height * (1 - LINE)), 3 * ratio, ratio);
      pen.fillStyle = ink.accent;
      pen.fillRect((frame + 0.5) * each - ratio, 0, 2 * ratio, canvas.height);
    }
  }
}
