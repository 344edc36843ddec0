// A blind test: two bodies move, one of them is attacked. Which one? The answers are saved as CSV.

const STUDY = ["participant", "trial", "clip", "dataset", "attack", "run", "rms", "attacked_side", "answer", "correct", "seconds", "told"];

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
  const usable = core.clips.filter((clip) => clip.attacked && clip.changed);
  if (!usable.length) return el("p", { class: "empty" }, "The blind test needs saved clips that an attack has changed.");
  return new Study(usable).node;
}

class Study {
  constructor(usable) {
    this.usable = usable;
    this.rows = [];
    this.stage = new Stage("Two moving bodies, left and right. One of them is attacked.");
    this.clock = new Clock(() => this.tick(), () => this.stage.node.isConnected);
    this.node = el("section", { class: "study", "aria-label": "Blind test", tabindex: "-1" });
    this.node.addEventListener("keydown", (event) => this.key(event));
    onTheme(() => this.stage.draw());
    this.begin();
  }

  tick() {
    this.stage.draw();
    if (this.pause) this.pause.textContent = this.clock.playing ? "❚❚ Pause" : "▶ Play";
  }

  begin() {
    const name = el("input", { type: "text", maxlength: 40, "aria-label": "Participant", placeholder: "optional" });
    const count = el("input", { type: "number", min: 1, max: 200, value: Math.min(20, this.usable.length), "aria-label": "Trials" });
    const told = el("input", { type: "checkbox", "aria-label": "Say after each answer whether it was right" });
    this.node.replaceChildren(el("div", { class: "panel narrow" }, el("h2", {}, "Which one is attacked?"),
      el("p", {}, "You see one clip twice, side by side: before and after an attack. Neither side says which is which. Choose the one that looks attacked, with the mouse or with the keys ← and →. Drag to turn both. You can stop at any time and save your answers as CSV; nothing leaves this page."),
      el("div", { class: "filters" }, field("Participant", name), field("Trials", count),
        el("button", { type: "button", class: "play", onclick: () => this.start(name.value, Number(count.value), told.checked) }, "Start")),
      el("label", { class: "check" }, told, " Say after each answer whether it was right (this trains the eye, so leave it off in a study)"),
      el("p", { class: "note" }, `${this.usable.length} clips are drawn from; those that their attack left unchanged are not.`)));
  }

  start(participant, count, told = false) {
    this.participant = participant;
    this.told = told;
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
    this.pause = el("button", { type: "button", onclick: () => this.clock.play() }, "❚❚ Pause");
    this.node.replaceChildren(el("p", { class: "count", role: "status" }, this.progress()), this.stage.node,
      el("div", { class: "answers" }, answer("left", "← Left"), answer("right", "Right →")),
      el("div", { class: "filters" }, this.pause,
        el("button", { type: "button", onclick: () => { this.clock.go(0); this.clock.play(true); } }, "From the start"),
        select("Speed", SPEEDS, String(this.clock.speed), (value) => { this.clock.speed = Number(value); }),
        el("button", { type: "button", class: "stop", onclick: () => this.finish() }, "Stop the test")));
    this.stage.show([pane(both[0], "Left"), pane(both[1], "Right")]);
    this.clock.set(clip.frames, clip.dt);
    this.clock.go(0);
    this.clock.play(true);
    this.since = performance.now();
    this.node.focus();
  }

  // Which trial this is, and how the last answer was if the reader wants to know.
  progress() {
    const last = this.rows.at(-1), right = this.rows.filter((row) => row[9]).length;
    const told = this.told && last ? `The last answer was ${last[9] ? "right" : "wrong"}; ${right} of ${this.rows.length} right so far. ` : "";
    return `${told}Trial ${this.rows.length + 1} of ${this.queue.length}: which one is attacked?`;
  }

  answer(side) {
    if (!this.listed) return;
    const { listed } = this, seconds = Number(((performance.now() - this.since) / 1000).toFixed(2));
    this.rows.push([this.participant, this.rows.length + 1, listed.name, listed.dataset, listed.attack, listed.run || "", listed.rms || "", this.side, side, side === this.side ? 1 : 0, seconds, this.told ? 1 : 0]);
    this.listed = null;
    this.next();
  }

  finish() {
    this.listed = null;
    this.clock.play(false);
    const right = this.rows.filter((row) => row[9]).length;
    this.node.replaceChildren(el("div", { class: "panel narrow" }, el("h2", {}, `${right} of ${this.rows.length} correct`),
      el("p", {}, this.rows.length ? "Chance alone is right half of the time." : "There is no answer yet."),
      el("div", { class: "filters" }, el("button", { type: "button", class: "play", disabled: !this.rows.length, onclick: () => download(`study_${this.participant || "answers"}.csv`, csv([STUDY, ...this.rows])) }, "Save the answers as CSV"),
        el("button", { type: "button", onclick: () => this.begin() }, "Again"), el("button", { type: "button", onclick: () => go("player") }, "Back to the player"))));
    say(`${right} of ${this.rows.length} correct`);
  }

  key(event) {
    if (event.shiftKey) { if (this.stage.key(event)) event.preventDefault(); return; }
    const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
    if (!side || !this.listed || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    this.answer(side);
  }
}
