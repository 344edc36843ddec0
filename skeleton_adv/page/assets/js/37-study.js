// A blind test: two bodies move, one of them is attacked. Which one? The answers are saved as CSV.

const STUDY = ["participant", "trial", "clip", "dataset", "attack", "run", "rms", "attacked_side", "answer", "correct", "seconds"];

function chance(below) {
  return crypto.getRandomValues(new Uint32Array(1))[0] % below;
}

function shuffled(values) {
  const found = [...values];
  for (let at = found.length - 1; at > 0; at--) {
    const other = chance(at + 1);
    [found[at], found[other]] = [found[other], found[at]];
  }
  return found;
}

async function studyView() {
  const usable = core.clips.filter((clip) => clip.attacked);
  if (!usable.length) return el("p", { class: "empty" }, "The blind test needs saved clips of an attack.");
  return new Study(usable).node;
}

class Study {
  constructor(usable) {
    this.usable = usable;
    this.rows = [];
    this.stage = new Stage("Two moving bodies, left and right. One of them is attacked.");
    this.clock = new Clock(() => this.stage.draw(), () => this.stage.node.isConnected);
    this.node = el("section", { class: "study", "aria-label": "Blind test", tabindex: "-1" });
    this.node.addEventListener("keydown", (event) => this.key(event));
    onTheme(() => this.stage.draw());
    this.begin();
  }

  begin() {
    const name = el("input", { type: "text", maxlength: 40, "aria-label": "Participant", placeholder: "optional" });
    const count = el("input", { type: "number", min: 1, max: 200, value: Math.min(20, this.usable.length), "aria-label": "Trials" });
    this.node.replaceChildren(el("div", { class: "panel narrow" }, el("h2", {}, "Which one is attacked?"),
      el("p", {}, "You see one clip twice, side by side: as it was recorded, and after an attack. Neither side says which is which. Choose the one that looks attacked, with the mouse or with the keys ← and →. At the end you can save your answers as CSV; nothing leaves this page."),
      el("div", { class: "filters" }, field("Participant", name), field("Trials", count),
        el("button", { type: "button", class: "play", onclick: () => this.start(name.value, Number(count.value)) }, "Start"))));
  }

  start(participant, count) {
    this.participant = participant;
    const wanted = Math.max(1, Math.min(200, Math.round(count) || 1));
    this.queue = [];
    while (this.queue.length < wanted) this.queue.push(...shuffled(this.usable));
    this.queue.length = wanted;
    this.rows = [];
    this.next();
  }

  async next() {
    if (this.rows.length === this.queue.length) { this.finish(); return; }
    this.listed = this.queue[this.rows.length];
    const clip = await loadClip(this.listed.id);
    this.side = chance(2) ? "right" : "left";
    const pane = (values, title) => ({ title, note: "", clip, tone: "", paint: (pen, lens, ink) => {
      drawShadow(pen, lens, clip, values, this.clock.frame, ink);
      drawBody(pen, lens, clip, values, this.clock.frame, plainLook(ink.ink), ink);
    } });
    const both = this.side === "left" ? [clip.adversarial, clip.clean] : [clip.clean, clip.adversarial];
    const answer = (side, text) => el("button", { type: "button", class: "answer", "data-side": side, onclick: () => this.answer(side) }, text);
    this.node.replaceChildren(el("p", { class: "count", role: "status" }, `Trial ${this.rows.length + 1} of ${this.queue.length}: which one is attacked?`), this.stage.node,
      el("div", { class: "answers" }, answer("left", "← Left"), answer("right", "Right →")));
    this.stage.show([pane(both[0], "Left"), pane(both[1], "Right")]);
    this.clock.set(clip.frames, clip.dt);
    this.clock.go(0);
    this.clock.play(true);
    this.since = performance.now();
    this.node.focus();
  }

  answer(side) {
    if (!this.listed) return;
    const { listed } = this, seconds = Number(((performance.now() - this.since) / 1000).toFixed(2));
    this.rows.push([this.participant, this.rows.length + 1, listed.name, listed.dataset, listed.attack, listed.run || "", listed.rms || "", this.side, side, side === this.side ? 1 : 0, seconds]);
    this.listed = null;
    this.next();
  }

  finish() {
    this.clock.play(false);
    const right = this.rows.filter((row) => row[9]).length;
    this.node.replaceChildren(el("div", { class: "panel narrow" }, el("h2", {}, `${right} of ${this.rows.length} correct`),
      el("p", {}, "Chance alone is right half of the time."),
      el("div", { class: "filters" }, el("button", { type: "button", class: "play", onclick: () => download(`study_${this.participant || "answers"}.csv`, csv([STUDY, ...this.rows])) }, "Save the answers as CSV"),
        el("button", { type: "button", onclick: () => this.begin() }, "Again"))));
    say(`${right} of ${this.rows.length} correct`);
  }

  key(event) {
    if (event.shiftKey) { if (this.stage.key(event)) event.preventDefault(); return; }
    const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
    if (!side || !this.listed || event.target.tagName === "INPUT") return;
    event.preventDefault();
    this.answer(side);
  }
}
