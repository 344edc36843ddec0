// What the page contains: the core, read at once, and parts that are unpacked when they are first shown.

const core = JSON.parse(byId("core").textContent);
const unpacked = new Map();
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, f4: Float32Array };

function part(name) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(byId(`part-${name}`).textContent));
  return unpacked.get(name);
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const content = await new Response(stream).arrayBuffer();
  const size = new DataView(content).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, size)));
  for (const [name, place] of Object.entries(header.arrays)) {
    const Kind = ARRAYS[place.type];
    const count = place.shape.reduce((a, b) => a * b, 1);
    const start = 4 + size + place.at;
    header.arrays[name] = new Kind(content.slice(start, start + count * Kind.BYTES_PER_ELEMENT));
    header.arrays[name].shape = place.shape;
  }
  return header;
}
