/** A blur that works in every browser: Safari's canvas has no filters. */

/** How often the box runs: twice makes a tent, whose slope has no kinks at the rim. */
const PASSES = 2;

/**
 * Blur a plane of height * width numbers, in place; beyond its borders its edge goes on. A point is
 * spread over about `radius` pixels to each side, which need not be whole.
 */
export function blur(plane: Float32Array, height: number, width: number, radius: number): void {
  if (radius <= 0) return;
  const share = radius / PASSES;
  const line = new Float32Array(Math.max(height, width) + 2 * (Math.floor(share) + 1));
  for (let pass = 0; pass < PASSES; pass++) {
    for (let y = 0; y < height; y++) boxBlurLine(plane, y * width, 1, width, share, line);
    for (let x = 0; x < width; x++) boxBlurLine(plane, x, width, height, share, line);
  }
}

/**
 * The mean over 2 * radius + 1 pixels, of which the outermost two count with the radius's fraction.
 * @param line room for the line with floor(radius) + 1 more pixels at each end
 */
function boxBlurLine(
  plane: Float32Array,
  start: number,
  stride: number,
  length: number,
  radius: number,
  line: Float32Array,
): void {
  const reach = Math.floor(radius);
  const fraction = radius - reach;
  const weight = 1 / (2 * radius + 1);
  const margin = reach + 1;
  for (let i = 0; i < length; i++) line[margin + i] = plane[start + i * stride] as number;
  line.fill(line[margin] as number, 0, margin);
  line.fill(line[margin + length - 1] as number, margin + length, length + 2 * margin);
  let sum = 0;
  for (let i = 1; i < 2 * margin; i++) sum += line[i] as number;
  for (let i = 0; i < length; i++) {
    const before = line[i] as number;
    const after = line[i + 2 * margin] as number;
    plane[start + i * stride] = (sum + fraction * (before + after)) * weight;
    sum += after - (line[i + 1] as number);
  }
}
