/** A blur that works in every browser: Safari's canvas has no filters. */

/** How often the box runs: twice makes a tent, whose slope has no kinks at the rim. */
const PASSES = 2;

/**
 * Blur a plane of height * width numbers, in place; beyond its borders its edge goes on. A point is
 * spread over about `radius` pixels to each side, which need not be whole.
 */
export function blur(plane: Float32Array, height: number, width: number, radius: number): void {
  if (radius <= 0) return;
  const line = new Float32Array(Math.max(height, width));
  for (let pass = 0; pass < PASSES; pass++) {
    for (let y = 0; y < height; y++) boxBlurLine(plane, y * width, 1, width, radius / PASSES, line);
    for (let x = 0; x < width; x++) boxBlurLine(plane, x, width, height, radius / PASSES, line);
  }
}

/** The mean over 2 * radius + 1 pixels; the outermost two count with the radius's fraction. */
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
  const share = 1 / (2 * radius + 1);
  const last = length - 1;
  const at = (i: number): number => line[i < 0 ? 0 : i > last ? last : i] as number;
  for (let i = 0; i < length; i++) line[i] = plane[start + i * stride] as number;
  let sum = 0;
  for (let i = -reach; i <= reach; i++) sum += at(i);
  for (let i = 0; i < length; i++) {
    const rims = fraction * (at(i - reach - 1) + at(i + reach + 1));
    plane[start + i * stride] = (sum + rims) * share;
    sum += at(i + reach + 1) - at(i - reach);
  }
}
