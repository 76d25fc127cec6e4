/**
 * Resizing a part of a photo with Pillow's bilinear filter, at a cost that the photo does not set.
 *
 * A triangle filter reads every pixel of the photo, so a 48-megapixel photo would take 150 times as
 * long as one of 640 x 480. Where the photo has several pixels for one resized pixel, it is
 * therefore thinned first, to every n-th pixel of an axis, so that 1.5 to 3 are left per resized
 * pixel. The arithmetic is Pillow's, in whole numbers: every pixel is the same as in Python.
 */

import type { Pixels } from "./pixels.ts";
import type { Box, Size } from "../rectangles.ts";

/** Weights are whole numbers of this many bits after the point, as Pillow's are. */
const PRECISION_BITS = 22;
const ONE = 1 << PRECISION_BITS;
const HALF = 1 << (PRECISION_BITS - 1);

/** For each resized pixel of an axis: the first source pixel, and the weights from it on. */
interface Filter {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `stride` of them for each resized pixel. */
  readonly weights: Int32Array;
  readonly stride: number;
}

/** What pixels of one axis are made of: photo pixels, and the filter over them. */
interface Source {
  /** The photo pixels that the filter reads, in its order. */
  readonly picked: Int32Array;
  readonly filter: Filter;
}

/**
 * The pixels `part` (x0, y0, x1, y1) of what a tile of a photo is when resized to `size`.
 *
 * `tile` is (x0, y0, x1, y1) in whole photo pixels. The result is RGB, row by row. The tile is
 * thinned (see above), then filtered with a triangle as wide as two pixels of the coarser of both
 * grids, so that it averages when it reduces. Each row is filtered first, then each column, and
 * both results are rounded to 8 bits.
 */
export function resizePart(photo: Pixels, tile: Box, size: Size, part: Box): Uint8Array {
  const [left, top, right, bottom] = tile;
  const columns = source(part[0], part[2], size.width, right - left);
  const rows = source(part[1], part[3], size.height, bottom - top);
  const narrowed = filterRows(photo, left, top, rows.picked, columns);
  return filterColumns(narrowed, part[2] - part[0], rows.filter);
}

function source(start: number, stop: number, resized: number, photo: number): Source {
  const step = Math.max(1, Math.floor((2 * photo) / (3 * resized)));
  // The middle pixel of each step, the left one of two. Pixel t of the thinned photo is pixel
  // first + t * step of the photo, so the photo's position p is (p - first - 0.5) / step + 0.5.
  const first = Math.floor((step - 1) / 2);
  const shift = 0.5 - (first + 0.5) / step;
  const from = ((start * photo) / resized / step) + shift;
  const to = ((stop * photo) / resized / step) + shift;
  const scale = photo / resized / step;
  const margin = Math.max(1, scale) - scale / 2;
  const t0 = Math.max(0, Math.floor(from - margin));
  const t1 = Math.min(Math.ceil(photo / step + shift), Math.ceil(to + margin));
  const picked = Int32Array.from({ length: t1 - t0 }, (_, t) =>
    // Where the content ends half a step beyond the last pixel inside, that one is repeated.
    Math.min(first + (t0 + t) * step, first + Math.floor((photo - 1 - first) / step) * step),
  );
  return { picked, filter: triangleFilter(from - t0, to - t0, stop - start, t1 - t0) };
}

/** Pillow's coefficients for resizing the interval [from, to) of `length` pixels to `count`. */
function triangleFilter(from: number, to: number, count: number, length: number): Filter {
  // Pillow takes the interval in single precision.
  const start = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - start) / count;
  const support = Math.max(1, scale);
  const stride = Math.ceil(support) * 2 + 1;
  const filter: Filter = {
    first: new Int32Array(count),
    count: new Int32Array(count),
    weights: new Int32Array(count * stride),
    stride,
  };
  const weights = new Float64Array(stride);
  for (let i = 0; i < count; i++) {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let t = 0; t < last - first; t++) {
      const distance = Math.abs((t + first - centre + 0.5) * (1 / support));
      weights[t] = distance < 1 ? 1 - distance : 0;
      sum += weights[t]!;
    }
    filter.first[i] = first;
    filter.count[i] = last - first;
    for (let t = 0; t < last - first; t++) {
      const share = sum === 0 ? weights[t]! : weights[t]! / sum;
      filter.weights[i * stride + t] = Math.trunc(0.5 + share * ONE);
    }
  }
  return filter;
}

/** Some rows of the photo, each filtered: RGB, rows x filtered pixels. */
function filterRows(
  photo: Pixels,
  left: number,
  top: number,
  rows: Int32Array,
  { picked, filter }: Source,
): Uint8Array {
  const { first, count, weights, stride } = filter;
  const { data } = photo;
  const width = first.length;
  const offsets = picked.map((column) => 3 * (left + column));
  const filtered = new Uint8Array(3 * rows.length * width);
  let out = 0;
  for (const row of rows) {
    const line = 3 * (top + row) * photo.width;
    for (let i = 0; i < width; i++) {
      let [red, green, blue] = [HALF, HALF, HALF];
      const start = first[i]!;
      const taps = count[i]!;
      for (let t = 0; t < taps; t++) {
        const weight = weights[i * stride + t]!;
        const pixel = line + offsets[start + t]!;
        red += data[pixel]! * weight;
        green += data[pixel + 1]! * weight;
        blue += data[pixel + 2]! * weight;
      }
      filtered[out] = clip8(red);
      filtered[out + 1] = clip8(green);
      filtered[out + 2] = clip8(blue);
      out += 3;
    }
  }
  return filtered;
}

/** Each column filtered: RGB, filtered pixels x width. */
function filterColumns(pixels: Uint8Array, width: number, filter: Filter): Uint8Array {
  const { first, count, weights, stride } = filter;
  const line = 3 * width;
  const filtered = new Uint8Array(first.length * line);
  const sums = new Int32Array(line);
  for (let i = 0; i < first.length; i++) {
    sums.fill(HALF);
    for (let t = 0; t < count[i]!; t++) {
      const weight = weights[i * stride + t]!;
      const start = (first[i]! + t) * line;
      for (let k = 0; k < line; k++) sums[k]! += pixels[start + k]! * weight;
    }
    for (let k = 0; k < line; k++) filtered[i * line + k] = clip8(sums[k]!);
  }
  return filtered;
}

function clip8(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}
