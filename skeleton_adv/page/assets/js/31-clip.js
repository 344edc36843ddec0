// A clip as the page contains it: whole steps from its middle, as changes from frame to frame.

const MEASURES = ["bone", "angle", "speed"];

async function loadClip(id) {
  const clip = { ...await part(id) };
  const [axes, frames, joints, people] = clip.arrays.x.shape;
  Object.assign(clip, { frames, joints_count: joints, people });
  const size = joints * people;
  const summed = (changes) => {
    const codes = Int16Array.from(changes);
    for (let axis = 0; axis < axes; axis++) {
      for (let at = axis * frames * size + size; at < (axis + 1) * frames * size; at++) codes[at] += codes[at - size];
    }
    return codes;
  };
  const clean = summed(clip.arrays.x);
  const metres = (codes) => Float32Array.from(codes, (code) => code * clip.step);
  clip.clean = metres(clean);
  if (clip.arrays.moved) {
    const moved = summed(clip.arrays.moved);
    clip.adversarial = metres(clean.map((code, at) => code + moved[at]));
  }
  clip.exists = clip.arrays.exists;
  clip.bones = clip.parents.map((parent, joint) => [joint, parent]).filter(([joint, parent]) => joint !== parent);
  clip.point = (values, frame, joint, person) => [0, 1, 2].map((axis) => values[((axis * frames + frame) * joints + joint) * people + person]);
  clip.there = (frame, joint, person) => clip.exists[(frame * joints + joint) * people + person] === 1;
  clip.persons = Array.from({ length: people }, (_, person) => person).filter((person) => clip.exists.some((one, at) => one && at % people === person));
  if (clip.adversarial) measure(clip);
  place(clip);
  return clip;
}

// Multiples of limits, and the worst entry of each frame; what the numbers are was computed when the page was made.
function measure(clip) {
  const { frames, people } = clip;
  clip.ratio = (kind, frame, entry, person) => {
    const shape = clip.arrays[kind].shape;
    return clip.arrays[kind][(frame * shape[1] + entry) * people + person] / 100;
  };
  clip.entries = (kind) => (kind === "bone" ? clip.bones.map(([joint, parent]) => [joint, parent]) : clip.joints.map((_, joint) => [joint]));
  clip.worst = {};
  for (const kind of MEASURES) {
    clip.worst[kind] = Array.from({ length: frames }, (_, frame) => largest(clip, kind, frame, null));
  }
  clip.moved = (frame, joint, person) => {
    const a = clip.point(clip.clean, frame, joint, person), b = clip.point(clip.adversarial, frame, joint, person);
    return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  };
}

// The largest multiple of a limit in a frame, of all entries or of those of one joint { joint, person }.
function largest(clip, kind, frame, chosen) {
  let best = { ratio: 0, entry: -1, person: 0 };
  clip.entries(kind).forEach((joints, entry) => {
    if (chosen !== null && !joints.includes(chosen.joint)) return;
    for (let person = 0; person < clip.people; person++) {
      if (chosen !== null && person !== chosen.person) continue;
      const ratio = clip.ratio(kind, frame, entry, person);
      if (ratio > best.ratio) best = { ratio, entry, person };
    }
  });
  return best;
}

function entryName(clip, kind, entry, person) {
  if (entry < 0) return "";
  if (kind !== "bone") return jointName(clip, entry, person);
  const [joint, parent] = clip.bones[entry];
  return `${clip.joints[parent]} – ${jointName(clip, joint, person)}`;
}

// A joint, with its person if the clip has several.
function jointName(clip, joint, person) {
  return clip.joints[joint] + (clip.persons.length > 1 ? `, person ${person + 1}` : "");
}

function isJoint(chosen, joint, person) {
  return chosen !== null && chosen !== undefined && chosen.joint === joint && chosen.person === person;
}

// Every joint that exists in some frame, of every person.
function allJoints(clip) {
  return clip.persons.flatMap((person) => clip.joints.map((_, joint) => ({ joint, person })));
}

// A multiple of a limit as the quantity itself.
function quantity(clip, kind, ratio) {
  const limit = clip.limits[kind], capped = ratio >= 655 ? "> " : "";
  if (kind === "angle") return `${capped}${Number((ratio * limit).toPrecision(3))} rad`;
  return `${capped}${Number((100 * ratio * limit).toPrecision(3))} %`;
}

function limitText(clip, kind) {
  return kind === "angle" ? `${clip.limits.angle} rad` : `${Number((100 * clip.limits[kind]).toPrecision(6))} %`;
}

function length(clip, metres) {
  return `${(1000 * metres).toFixed(1)} ${clip.small}`;
}

// The middle of the clip, what radius contains it, and the floor.
function place(clip) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity], feet = [];
  clip.centres = [];
  for (let frame = 0; frame < clip.frames; frame++) {
    const sum = [0, 0, 0];
    let count = 0, least = Infinity;
    for (let joint = 0; joint < clip.joints_count; joint++) {
      for (let person = 0; person < clip.people; person++) {
        if (!clip.there(frame, joint, person)) continue;
        const p = clip.point(clip.clean, frame, joint, person);
        for (let axis = 0; axis < 3; axis++) {
          low[axis] = Math.min(low[axis], p[axis]);
          high[axis] = Math.max(high[axis], p[axis]);
          sum[axis] += p[axis];
        }
        least = Math.min(least, p[1]);
        count++;
      }
    }
    clip.centres.push(count ? sum.map((one) => one / count) : null);
    if (count) feet.push(least);
  }
  if (!feet.length) { low.fill(-1); high.fill(1); feet.push(-1); }
  feet.sort((a, b) => a - b);
  clip.floor = feet[Math.floor(feet.length * 0.2)];
  clip.middle = low.map((one, axis) => (one + high[axis]) / 2);
  clip.radius = Math.max(0.05, Math.hypot(high[0] - low[0], high[1] - low[1], high[2] - low[2]) / 2);
  clip.extent = { radius: clip.radius, wide: Math.max(0.05, Math.hypot(high[0] - low[0], high[2] - low[2]) / 2), tall: Math.max(0.05, (high[1] - low[1]) / 2) };
}
