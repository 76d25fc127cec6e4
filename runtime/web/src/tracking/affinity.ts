/** Which cells of a memory each cell of a frame reads. */

import { KEY_CHANNELS, TOP_K } from "./contract.ts";

/**
 * For each cell of a frame, `count` cells of a memory, in no order, and their weights.
 *
 * The cells of one cell of the frame stand side by side, and their weights sum to 1.
 */
export interface Affinity {
  readonly count: number;
  readonly cells: Int32Array;
  readonly weights: Float32Array;
}

/**
 * Which cells of a memory each cell of a frame reads, and with which weights.
 *
 * The similarity is the negative squared distance of the keys (STCN, arXiv 2106.05210, section
 * 3.2) without the term of the query, which softmax cancels; the TOP_K most similar cells are read
 * (MiVOS, arXiv 2103.07941, section 3.2). The largest is subtracted before the exponential, so that
 * nothing overflows. `query` and `keys` have KEY_CHANNELS numbers for each cell, of which both have
 * a multiple of four.
 */
export function affinity(query: Float32Array, keys: Float32Array): Affinity {
  const asked = query.length / KEY_CHANNELS;
  const known = keys.length / KEY_CHANNELS;
  const count = Math.min(TOP_K, known);
  const squares = squaresOf(keys);
  const cells = new Int32Array(asked * count);
  const weights = new Float32Array(asked * count);
  const similarity = new Float32Array(4 * known);
  for (let first = 0; first < asked; first += 4) {
    similarities(query, first, keys, squares, similarity);
    for (let row = 0; row < 4; row++) {
      const at = (first + row) * count;
      const ownCells = cells.subarray(at, at + count);
      const ownWeights = weights.subarray(at, at + count);
      largest(similarity.subarray(row * known, (row + 1) * known), ownCells, ownWeights);
      softmax(ownWeights);
    }
  }
  return { count, cells, weights };
}

/**
 * The weighted means of `channels` values for each cell of the memory, one for each of the frame.
 */
export function readValues(
  { count, cells, weights }: Affinity,
  values: Float32Array,
  channels: number,
): Float32Array {
  const asked = cells.length / count;
  const read = new Float32Array(asked * channels);
  const sums = new Float64Array(channels);
  for (let cell = 0; cell < asked; cell++) {
    sums.fill(0);
    for (let i = cell * count; i < (cell + 1) * count; i++) {
      const weight = weights[i]!;
      const from = cells[i]! * channels;
      for (let channel = 0; channel < channels; channel++) {
        sums[channel]! += weight * values[from + channel]!;
      }
    }
    read.set(sums, cell * channels);
  }
  return read;
}

function squaresOf(keys: Float32Array): Float64Array {
  return Float64Array.from({ length: keys.length / KEY_CHANNELS }, (_, cell) => {
    const key = keys.subarray(cell * KEY_CHANNELS, (cell + 1) * KEY_CHANNELS);
    return key.reduce((sum, value) => sum + value * value, 0);
  });
}

/**
 * Of four cells of a frame from `first` on, to all of the memory: a row for each.
 *
 * Eight sums at a time, whose numbers stay in registers: three times as fast as one.
 */
function similarities(
  query: Float32Array,
  first: number,
  keys: Float32Array,
  squares: Float64Array,
  rows: Float32Array,
): void {
  const known = squares.length;
  const channels = keys.length / known;
  const scale = 1 / Math.sqrt(channels);
  const a = first * channels;
  const b = a + channels;
  const c = b + channels;
  const d = c + channels;
  for (let cell = 0; cell < known; cell += 2) {
    const x = cell * channels;
    const y = x + channels;
    let ax = 0;
    let bx = 0;
    let cx = 0;
    let dx = 0;
    let ay = 0;
    let by = 0;
    let cy = 0;
    let dy = 0;
    for (let i = 0; i < channels; i++) {
      const keyX = keys[x + i]!;
      const keyY = keys[y + i]!;
      const queryA = query[a + i]!;
      const queryB = query[b + i]!;
      const queryC = query[c + i]!;
      const queryD = query[d + i]!;
      ax += queryA * keyX;
      bx += queryB * keyX;
      cx += queryC * keyX;
      dx += queryD * keyX;
      ay += queryA * keyY;
      by += queryB * keyY;
      cy += queryC * keyY;
      dy += queryD * keyY;
    }
    const squareX = squares[cell]!;
    const squareY = squares[cell + 1]!;
    rows[cell] = (2 * ax - squareX) * scale;
    rows[cell + 1] = (2 * ay - squareY) * scale;
    rows[known + cell] = (2 * bx - squareX) * scale;
    rows[known + cell + 1] = (2 * by - squareY) * scale;
    rows[2 * known + cell] = (2 * cx - squareX) * scale;
    rows[2 * known + cell + 1] = (2 * cy - squareY) * scale;
    rows[3 * known + cell] = (2 * dx - squareX) * scale;
    rows[3 * known + cell + 1] = (2 * dy - squareY) * scale;
  }
}

/** Fill in the places of the largest values and the values, from the smallest of them up. */
function largest(values: Float32Array, places: Int32Array, found: Float32Array): void {
  const count = places.length;
  found.fill(-Infinity);
  for (let place = 0; place < values.length; place++) {
    const value = values[place]!;
    if (value <= found[0]!) continue;
    let i = 1;
    for (; i < count && found[i]! < value; i++) {
      found[i - 1] = found[i]!;
      places[i - 1] = places[i]!;
    }
    found[i - 1] = value;
    places[i - 1] = place;
  }
}

/** Of values in rising order, in their place. */
function softmax(values: Float32Array): void {
  const most = values[values.length - 1]!;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    values[i] = Math.exp(values[i]! - most);
    sum += values[i]!;
  }
  for (let i = 0; i < values.length; i++) values[i]! /= sum;
}
