/** SHA-256, by the browser where the page is secure, else by ourselves (FIPS 180-4). */

const BLOCK_BYTES = 64;

/** The SHA-256 of some bytes, in hexadecimal. */
export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  // Pages that are not served securely have no crypto.subtle.
  const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle;
  const digest = subtle
    ? new Uint8Array(await subtle.digest("SHA-256", data))
    : computeSha256(data);
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The SHA-256 of some bytes, computed here. */
export function computeSha256(data: Uint8Array): Uint8Array {
  const state = firstPrimeRoots(8, (prime) => Math.sqrt(prime));
  const constants = firstPrimeRoots(64, (prime) => Math.cbrt(prime));
  const schedule = new Uint32Array(64);
  const whole = data.length - (data.length % BLOCK_BYTES);
  const bytes = new DataView(data.buffer, data.byteOffset, data.length);
  for (let start = 0; start < whole; start += BLOCK_BYTES) {
    compress(state, constants, schedule, bytes, start);
  }
  const end = padded(data.subarray(whole), data.length);
  for (let start = 0; start < end.byteLength; start += BLOCK_BYTES) {
    compress(state, constants, schedule, end, start);
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => digest.setUint32(4 * i, word));
  return new Uint8Array(digest.buffer);
}

/** The first 32 bits of the fractions of the roots of the first primes. */
function firstPrimeRoots(count: number, root: (prime: number) => number): Uint32Array {
  const primes: number[] = [];
  for (let number = 2; primes.length < count; number++) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  return Uint32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32);
}

/** The last bytes, a one bit, zeros, and the length of all in bits: one block or two. */
function padded(rest: Uint8Array, length: number): DataView {
  const size = rest.length + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES;
  const block = new Uint8Array(size);
  block.set(rest);
  block[rest.length] = 0x80;
  const view = new DataView(block.buffer);
  view.setUint32(size - 8, Math.floor(length / 2 ** 29));
  view.setUint32(size - 4, (length * 8) % 2 ** 32);
  return view;
}

function compress(
  state: Uint32Array,
  constants: Uint32Array,
  schedule: Uint32Array,
  data: DataView,
  start: number,
): void {
  for (let i = 0; i < 16; i++) schedule[i] = data.getUint32(start + 4 * i);
  for (let i = 16; i < 64; i++) {
    const [early, late] = [schedule[i - 15]!, schedule[i - 2]!];
    const s0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    const s1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    schedule[i] = schedule[i - 16]! + s0 + schedule[i - 7]! + s1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    ...[number, number, number, number, number, number, number, number],
  ];
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const choice = (e & f) ^ (~e & g);
    const first = (h + s1 + choice + constants[i]! + schedule[i]!) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + s0 + majority) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i]! += word;
  });
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
