// A camera that turns around a point: x to the right, y up, z away from the viewer.

class Camera {
  constructor() { this.reset(); }

  reset() {
    this.yaw = 0.35;
    this.pitch = 0.16;
    this.zoom = 1;
  }

  turn(dx, dy) {
    this.yaw += dx;
    this.pitch = Math.max(-1.4, Math.min(1.5, this.pitch + dy));
  }

  scale(factor) { this.zoom = Math.max(0.3, Math.min(8, this.zoom * factor)); }

  // The screen's x and y of a point, and how large a metre is there; `box` is the pane, `extent` what fits into it:
  // the radius of a clip, and its half width (from any side) and half height.
  lens(box, target, { radius, wide, tall }) {
    const cy = Math.cos(this.yaw), sy = Math.sin(this.yaw), cp = Math.cos(this.pitch), sp = Math.sin(this.pitch);
    const away = radius * 3.4, tilt = Math.abs(sp) * wide;
    const fit = Math.min(box.width * 0.43 / wide, box.height * 0.42 / (Math.abs(cp) * tall + tilt));
    const focus = fit * away * this.zoom;
    const middle = [box.left + box.width / 2, box.top + box.height / 2];
    return (p) => {
      const x = p[0] - target[0], y = p[1] - target[1], z = p[2] - target[2];
      const x1 = cy * x + sy * z, z1 = -sy * x + cy * z;
      const y2 = cp * y + sp * z1, z2 = -sp * y + cp * z1;
      const depth = Math.max(0.05 * away, away + z2), size = focus / depth;
      return [middle[0] + x1 * size, middle[1] - y2 * size, size, depth];
    };
  }
}
