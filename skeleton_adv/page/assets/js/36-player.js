// The player: clean and adversarial side by side or overlaid, or two attacks on one clip in lockstep.

const PAINTS = [["plain", "plain"], ["bone", "bone lengths"], ["angle", "angles"], ["speed", "speeds"]];
const SPEEDS = [["0.1", "0.1×"], ["0.25", "0.25×"], ["0.5", "0.5×"], ["1", "1×"], ["2", "2×"]];
const ARROWS = [["0", "no arrows"], ["1", "×1"], ["10", "×10"]];

async function playerView(wanted) {
  if (!core.clips.length) {
    return el("section", { class: "empty" }, el("p", {}, "This page contains no clips."),
      el("p", {}, "Run an attack with ", el("code", {}, "runtime.save_clips=true"), " and make the page again, or show a clip of your own: ", el("code", {}, "python -m skeleton_adv.page --clip mine.npz"), "."));
  }
  const player = new Player();
  await player.open(core.clips.some((clip) => clip.id === wanted) ? wanted : core.clips[0].id);
  return player.node;
}

function clipTitle(clip) {
  return `${clip.label ? `${clip.label} · ` : ""}${clip.name}`;
}

class Player {
  constructor() {
    Object.assign(this, { mode: "side", paint: "bone", arrows: 0, joint: null, clip: null, other: null });
    this.stage = new Stage("The clip in 3-D. Drag to turn it, use the wheel to zoom.");
    this.clock = new Clock(() => this.tick(), () => this.node.isConnected);
    this.strip = new Strip((frame) => this.jump(frame));
    this.controls();
    this.facts = el("div", { class: "panel facts-of" });
    this.side = el("aside", { class: "side", "aria-label": "About this clip" });
    this.which = el("div", { class: "which" });
    this.scale = el("div", { class: "scale", "aria-hidden": "true" });
    this.node = el("section", { class: "player", "aria-label": "Player" }, this.top, el("div", { class: "columns" },
      el("div", { class: "show" }, this.stage.node, this.bar, this.which, this.strip.node, this.keys()), this.side));
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.panes = [];
    onTheme(() => { if (this.node.isConnected) { this.drawScale(); this.draw(); } });
    new ResizeObserver(() => this.strip.draw(this.clock.frame)).observe(this.strip.node);
  }

  controls() {
    this.top = el("div", { class: "controls" });
    this.playButton = el("button", { type: "button", class: "play", onclick: () => this.clock.play() }, "▶ Play");
    this.slider = el("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Frame", oninput: (event) => this.jump(Number(event.target.value)) });
    this.time = el("output", { class: "time" });
    const button = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
    this.bar = el("div", { class: "bar-of" },
      el("div", { class: "transport" }, this.playButton, button("‹", "One frame back", () => this.step(-1)), button("›", "One frame on", () => this.step(1)), this.slider, this.time),
      el("div", { class: "filters" },
        select("Speed", SPEEDS, "1", (value) => { this.clock.speed = Number(value); }),
        this.colouring = select("Colour by", PAINTS, this.paint, (value) => { this.paint = value; this.draw(); }),
        this.arrowing = select("Displacement", ARROWS, "0", (value) => { this.arrows = Number(value); this.draw(); }),
        button("Reset view", "Reset the view", () => { this.stage.camera.reset(); this.stage.draw(); })));
  }

  keys() {
    return el("p", { class: "note keys" }, "Keys: space plays, ← → step, Home and End jump, shift + arrows turn, + − zoom, 0 resets. Drag to turn, wheel or pinch to zoom.");
  }

  choices() {
    const groups = new Map();
    for (const clip of core.clips) {
      const title = clip.attack + (clip.dataset ? ` · ${clip.dataset}` : "");
      groups.set(title, [...(groups.get(title) || []), clip]);
    }
    const control = el("select", { "aria-label": "Clip", onchange: (event) => this.open(event.target.value) },
      [...groups].map(([title, clips]) => el("optgroup", { label: title }, clips.map((clip) => option(clip.id, clipTitle(clip), this.clip.id)))));
    const others = core.clips.filter((clip) => clip.id !== this.clip.id && clip.name === this.clip.name && clip.dataset === this.clip.dataset && clip.attacked);
    const compare = others.length ? select("Compare with", [["", "the clean clip"], ...others.map((clip) => [clip.id, clip.attack])], this.other ? this.other.id : "", (value) => this.compare(value)) : null;
    const blind = core.clips.some((clip) => clip.attacked) ? el("button", { type: "button", onclick: () => { this.clock.play(false); go("study"); } }, "Blind test: which one is attacked?") : null;
    redraw(this.top, el("div", { class: "filters" }, field("Clip", control), compare,
      this.clip.adversarial ? segmented("Layout", [["side", "side by side"], ["over", "overlaid"]], this.mode, (value) => { this.mode = value; this.arrange(); }) : null, blind));
  }

  async open(id) {
    this.clip = await loadClip(id);
    this.other = null;
    this.joint = null;
    this.clock.set(this.clip.frames, this.clip.dt);
    this.slider.max = this.clip.frames - 1;
    for (const one of [this.colouring, this.arrowing]) one.hidden = !this.clip.adversarial;
    history.replaceState(null, "", `#player/${id}`);
    this.refresh();
  }

  async compare(id) {
    this.other = id ? await loadClip(id) : null;
    if (this.other && this.other.frames !== this.clip.frames) this.other = null;
    this.refresh();
  }

  refresh() {
    this.choices();
    this.strip.node.hidden = !this.clip.adversarial;
    if (this.clip.adversarial) this.strip.show(this.clip, this.joint);
    this.probable = probabilities(this.clip);
    this.jointed = this.clip.adversarial ? jointTable(this.clip, (joint) => this.choose(joint), (frame) => this.jump(frame)) : null;
    this.drawScale();
    this.side.replaceChildren(...[this.about(), this.probable, this.jointed].filter(Boolean));
    this.arrange();
    this.jump(Math.min(this.clock.frame, this.clip.frames - 1));
  }

  about() {
    const { clip } = this, facts = {};
    if (clip.label) facts.class = clip.label;
    if (clip.dataset) facts.dataset = clip.dataset;
    const wrong = clip.label && clip.clean_pred && clip.label !== clip.clean_pred;
    if (clip.clean_pred) facts["before the attack"] = clip.clean_pred + (wrong ? " (was wrong already)" : "");
    if (clip.adv_pred) facts["after the attack"] = clip.adv_pred;
    if (clip.rms) facts.change = `${clip.rms} rms, ℓ2 ${clip.l2}${clip.changed ? "" : ": the attack left the clip as it was"}`;
    if (clip.feasible !== undefined) facts["obeys every limit"] = clip.feasible ? "yes" : "no";
    if (clip.threat) facts["threat model"] = threatText(clip.threat);
    facts.frames = `${clip.frames}, ${clip.timed ? `${(1 / clip.dt).toFixed(1)} per second` : "rate not known"}`;
    return el("div", { class: "panel" }, el("h2", {}, clipTitle(clip)), el("p", {}, clip.attack), pairs(facts),
      clip.run ? el("button", { type: "button", class: "link", onclick: () => openRuns([clip.run]) }, "How this clip was made") : null);
  }

  // Whose violations the strips show, and what the colours mean.
  drawScale() {
    this.which.hidden = !this.clip.adversarial;
    if (!this.clip.adversarial) return;
    const code = (one) => `${one.joint}:${one.person}`;
    const all = allJoints(this.clip), names = all.map((one) => [code(one), jointName(this.clip, one.joint, one.person)]).sort((a, b) => a[1].localeCompare(b[1]));
    redraw(this.which, select("Violations of", [["", "all joints"], ...names], this.joint === null ? "" : code(this.joint), (value) => this.choose(all.find((one) => code(one) === value) ?? null)), this.scale);
    const swatch = (ratio, text) => el("span", { class: "swatch" }, el("i", { "--swatch": severityColour(ratio, colour("within")) }), text);
    this.scale.replaceChildren(...[swatch(1, "within the limit"), swatch(1.5, "beyond it"), swatch(8, "8 × the limit"), swatch(TOP, `${TOP} × the limit or more`)]);
  }

  choose(joint) {
    this.joint = joint === null || isJoint(this.joint, joint.joint, joint.person) ? null : { joint: joint.joint, person: joint.person };
    this.drawScale();
    this.jointed.mark(this.joint);
    this.strip.show(this.clip, this.joint);
    say(this.joint === null ? "all joints" : `only ${jointName(this.clip, this.joint.joint, this.joint.person)}`);
    this.tick();
  }

  // Which panes there are, and what each draws.
  arrange() {
    const { clip, other } = this;
    const attacked = (one, tone, shade) => ({
      title: other ? one.attack : "Adversarial", note: one.adv_pred ? `predicted as ${one.adv_pred}` : "", clip, tone,
      now: () => ({ frame: this.clock.frame, values: one.adversarial }), tell: (joint, person) => this.tell(one, joint, person),
      paint: (pen, lens, ink) => this.paintAttacked(pen, lens, ink, one, shade),
    });
    const clean = { title: clip.adversarial ? "Clean" : clip.name, note: clip.clean_pred ? `predicted as ${clip.clean_pred}` : "", clip, tone: "clean",
      now: () => ({ frame: this.clock.frame, values: clip.clean }), tell: (joint, person) => jointName(clip, joint, person),
      paint: (pen, lens, ink) => {
        drawShadow(pen, lens, clip, clip.clean, this.clock.frame, ink);
        drawBody(pen, lens, clip, clip.clean, this.clock.frame, plainLook(ink.clean, { selected: this.joint }), ink);
        drawNumbers(pen, lens, clip, clip.clean, this.clock.frame, ink);
      } };
    if (!clip.adversarial) this.panes = [clean];
    else if (this.mode === "side") this.panes = other ? [attacked(clip, "adversarial", "adversarial"), attacked(other, "adversarial", "adversarial")] : [clean, attacked(clip, "adversarial", "adversarial")];
    else this.panes = [this.overlay(other)];
    this.stage.show(this.panes);
  }

  overlay(other) {
    const { clip } = this;
    return { title: other ? `${clip.attack} (orange) over ${other.attack} (blue)` : "Adversarial over clean (blue)", note: "", clip, tone: "",
      now: () => ({ frame: this.clock.frame, values: clip.adversarial }), tell: (joint, person) => this.tell(clip, joint, person),
      paint: (pen, lens, ink) => {
        const frame = this.clock.frame;
        drawNumbers(pen, lens, clip, clip.clean, frame, ink);
        drawShadow(pen, lens, clip, clip.clean, frame, ink);
        drawBody(pen, lens, clip, other ? other.adversarial : clip.clean, frame, plainLook(ink.clean, { alpha: 0.75 }), ink);
        drawBody(pen, lens, clip, clip.adversarial, frame, this.look(clip, ink, "adversarial"), ink);
        if (this.arrows) drawArrows(pen, lens, clip, frame, this.arrows, ink);
      } };
  }

  look(clip, ink, shade) {
    const more = { selected: this.joint };
    return this.paint === "plain" ? plainLook(ink[shade], more) : limitLook(clip, this.paint, this.clock.frame, ink, more);
  }

  // What is said about a joint under the pointer.
  tell(clip, joint, person) {
    const { frame } = this.clock, lines = [jointName(clip, joint, person), `moved ${length(clip, clip.moved(frame, joint, person))}`];
    for (const kind of MEASURES) {
      const one = largest(clip, kind, frame, { joint, person });
      if (one.ratio) lines.push(`${MEASURE_NAMES[kind].toLowerCase()} ${quantity(clip, kind, one.ratio)}${one.ratio > 1 ? `, beyond ${limitText(clip, kind)}` : ""}`);
    }
    return lines.join("\n");
  }

  paintAttacked(pen, lens, ink, clip, shade) {
    const frame = this.clock.frame;
    drawNumbers(pen, lens, clip, clip.adversarial, frame, ink);
    drawShadow(pen, lens, clip, clip.adversarial, frame, ink);
    drawBody(pen, lens, clip, clip.clean, frame, plainLook(ink.clean, { alpha: 0.28, ghost: true }), ink);
    drawBody(pen, lens, clip, clip.adversarial, frame, this.look(clip, ink, shade), ink);
    if (this.arrows) drawArrows(pen, lens, clip, frame, this.arrows, ink);
  }

  jump(frame) {
    this.clock.go(Math.max(0, Math.min(this.clip.frames - 1, frame)));
  }

  step(way) {
    this.clock.play(false);
    this.clock.go(this.clock.frame + way);
  }

  tick() {
    if (!this.clip) return;
    const { frame } = this.clock;
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", `frame ${frame + 1} of ${this.clip.frames}`);
    this.playButton.textContent = this.clock.playing ? "❚❚ Pause" : "▶ Play";
    this.time.textContent = `${frame + 1} / ${this.clip.frames} · ${(frame * this.clip.dt).toFixed(2)} s`;
    this.draw();
  }

  draw() {
    this.stage.draw();
    if (this.clip && this.clip.adversarial) this.strip.draw(this.clock.frame);
    if (this.probable && this.probable.cursor) this.probable.cursor(this.clock.frame);
  }

  key(event) {
    const typing = /^(SELECT|TEXTAREA)$/.test(event.target.tagName), pressed = event.target.tagName === "BUTTON";
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.stage.key(event)) event.preventDefault();
    else if (event.key === " " && !pressed) this.clock.play();
    else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "Home") this.jump(0);
    else if (event.key === "End") this.jump(this.clip.frames - 1);
    else return;
    event.preventDefault();
  }
}
