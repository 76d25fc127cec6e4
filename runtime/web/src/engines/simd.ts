/** Whether WebAssembly here has instructions on 128-bit vectors, as the programs need. */

/** A module with one such instruction, which an engine without them refuses. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0], // magic number, version
  ...[1, 5, 1, 96, 0, 1, 123], // a type: no parameters, a vector
  ...[3, 2, 1, 0], // a function of it
  ...[10, 8, 1, 6, 0, 65, 0, 253, 15, 11], // its code: i32.const 0, i8x16.splat
);

export function hasSimd(): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(SIMD_MODULE);
}
