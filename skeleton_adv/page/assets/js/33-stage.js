// A canvas with panes that share a camera and a clock. Drag turns, wheel and pinch zoom, keys do the same.

class Stage {
  constructor(label) {
    this.camera = new Camera();
    this.panes = [];
    this.canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": label });
    this.labels = el("div", { class: "panes" });
    this.node = el("div", { class: "stage" }, this.labels, this.canvas);
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      tip("");
    });
    canvas.addEventListener("pointermove", (event) => (this.pointers.size ? this.drag(event) : this.hover(event)));
    canvas.addEventListener("pointerleave", () => tip(""));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.camera.scale(Math.exp(-event.deltaY * 0.0012));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { this.camera.reset(); this.draw(); });
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    if (this.pointers.size === 1) {
      this.camera.turn((now[0] - before[0]) * -0.009, (now[1] - before[1]) * 0.007);
    } else {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const far = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      this.camera.scale(far(now) / far(before));
    }
    this.pointers.set(event.pointerId, now);
    this.draw();
  }

  key(event) {
    const turns = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (event.shiftKey && turns[event.key]) this.camera.turn(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.camera.scale(1.15);
    else if (event.key === "-") this.camera.scale(1 / 1.15);
    else if (event.key === "0") this.camera.reset();
    else return false;
    this.draw();
    return true;
  }

  // Says what the joint under the pointer is called, and what the pane knows about it.
  hover(event) {
    const box = this.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const pane = this.panes[Math.floor(x / box.width * this.panes.length)];
    if (!pane || !pane.tell || !pane.lens) return;
    const { clip } = pane, { frame, values } = pane.now();
    let best = null;
    for (const { joint, person } of allJoints(clip)) {
      if (!clip.there(frame, joint, person)) continue;
      const p = pane.lens(clip.point(values, frame, joint, person)), far = Math.hypot(p[0] - x, p[1] - y);
      if (far < 14 && (!best || far < best.far)) best = { far, joint, person };
    }
    tip(best ? pane.tell(best.joint, best.person) : "", event.clientX, event.clientY);
  }

  // Each pane: { title, note, clip, tone, paint(pen, lens, ink) }, and for names of joints now() and tell(joint, person)
  show(panes) {
    this.panes = panes;
    this.labels.replaceChildren(...panes.map((pane) => el("div", { class: `pane ${pane.tone || ""}` }, el("b", {}, pane.title), pane.note ? el("span", {}, pane.note) : null)));
    this.labels.style.setProperty("--panes", panes.length);
    this.draw();
  }

  draw() {
    const canvas = this.canvas, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !this.panes.length) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d"), ink = colours(), each = width / this.panes.length;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = ink.stage;
    pen.fillRect(0, 0, width, height);
    this.panes.forEach((pane, at) => {
      const box = { left: at * each, top: 34, width: each, height: height - 40 }; // below the labels
      pen.save();
      pen.beginPath();
      pen.rect(box.left, 0, each, height);
      pen.clip();
      const lens = this.camera.lens(box, pane.clip.middle, pane.clip.extent);
      pane.lens = lens;
      drawFloor(pen, lens, pane.clip, ink);
      pane.paint(pen, lens, ink);
      pen.restore();
    });
    pen.strokeStyle = ink.grid;
    pen.lineWidth = 1;
    for (let at = 1; at < this.panes.length; at++) {
      pen.beginPath();
      pen.moveTo(Math.round(at * each) + 0.5, 16);
      pen.lineTo(Math.round(at * each) + 0.5, height - 16);
      pen.stroke();
    }
  }
}

// One clock for all panes: `tick(frame)` is called when the frame changes.
class Clock {
  constructor(tick, alive) {
    this.tick = tick;
    this.alive = alive; // whether what it moves is still on the page
    this.frame = 0;
    this.frames = 1;
    this.dt = 1 / 30;
    this.speed = 1;
    this.playing = false;
    this.spent = 0;
  }

  set(frames, dt) {
    this.frames = frames;
    this.dt = dt;
    this.frame = Math.min(this.frame, frames - 1);
  }

  go(frame) {
    this.frame = ((Math.round(frame) % this.frames) + this.frames) % this.frames;
    this.spent = 0;
    this.tick(this.frame);
  }

  play(on = !this.playing) {
    if (on === this.playing) return;
    this.playing = on;
    this.last = null;
    if (on) requestAnimationFrame((now) => this.run(now));
    this.tick(this.frame);
  }

  run(now) {
    if (!this.playing || !this.alive()) { this.playing = false; return; }
    this.spent += this.last === null ? 0 : Math.min(0.25, (now - this.last) / 1000) * this.speed;
    this.last = now;
    const steps = Math.floor(this.spent / this.dt);
    if (steps) {
      this.spent -= steps * this.dt;
      this.frame = (this.frame + steps) % this.frames;
      this.tick(this.frame);
    }
    requestAnimationFrame((next) => this.run(next));
  }
}
