import type { Pixels } from "../src/image/pixels.ts";

/** Numbers below 2^32 that Python's fixtures are made of, too. */
export function* seededNumbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

/** Bytes of noise, the same as in tests/test_web_fixtures.py. */
export function noise(seed: number, count: number): Uint8Array {
  const numbers = seededNumbers(seed);
  return Uint8Array.from({ length: count }, () => numbers.next().value >>> 24);
}

/** 5 x 5 random colours, stretched in whole numbers, the same as in tests/test_web_fixtures.py. */
export function smoothPhoto(seed: number, height: number, width: number): Pixels {
  const grid = noise(seed, 75);
  const data = new Uint8Array(3 * height * width);
  for (let i = 0; i < data.length; i++) {
    const channel = i % 3;
    const x = Math.floor((Math.floor((i - channel) / 3) % width) * 1024 / width);
    const y = Math.floor((Math.floor(i / (3 * width)) * 1024) / height);
    const [column, row] = [x >> 8, y >> 8];
    const [xPart, yPart] = [x & 255, y & 255];
    const colour = (dy: number, dx: number) => grid[((row + dy) * 5 + column + dx) * 3 + channel]!;
    const upper = colour(0, 0) * (256 - xPart) + colour(0, 1) * xPart;
    const lower = colour(1, 0) * (256 - xPart) + colour(1, 1) * xPart;
    data[i] = Math.floor((upper * (256 - yPart) + lower * yPart) / 65536);
  }
  return { height, width, data };
}

/** A fraction from 0 to 1, from a generator of `seededNumbers`. */
export function fraction(numbers: Generator<number, never>): number {
  return numbers.next().value / 2 ** 32;
}

/** A whole number from `low` to `high`, both included. */
export function wholeNumber(
  numbers: Generator<number, never>,
  low: number,
  high: number,
): number {
  return low + Math.floor(fraction(numbers) * (high - low + 1));
}
