/** Masks as COCO run-length encodings: column by column, in runs that begin with zeros. */

/**
 * The mask (1 inside, row by row) of compressed RLE counts.
 *
 * Throws a `RangeError` when the counts are malformed or do not fill the mask.
 */
export function decodeRle(height: number, width: number, counts: string): Uint8Array {
  const runs = runLengths(counts);
  const total = runs.reduce((sum, run) => sum + run, 0);
  if (runs.some((run) => run < 0) || total !== height * width) {
    throw new RangeError(`the runs do not fill ${height} x ${width} pixels`);
  }
  const mask = new Uint8Array(height * width);
  let position = 0;
  runs.forEach((run, i) => {
    for (const end = position + run; position < end; position++) {
      if (i % 2 === 1) mask[(position % height) * width + Math.floor(position / height)] = 1;
    }
  });
  return mask;
}

/** Each character holds 5 bits and whether more follow; from the third run on, a difference. */
function runLengths(counts: string): number[] {
  const runs: number[] = [];
  let [number, weight] = [0, 1];
  for (let i = 0; i < counts.length; i++) {
    const bits = counts.charCodeAt(i) - 48;
    if (bits < 0 || bits >= 64 || weight > 2 ** 45) {
      throw new RangeError("the counts are not a compressed RLE");
    }
    number += (bits & 0x1f) * weight;
    weight *= 32;
    if (bits & 0x20) continue;
    if (bits & 0x10) number -= weight;
    runs.push(number + (runs.length > 2 ? runs[runs.length - 2]! : 0));
    [number, weight] = [0, 1];
  }
  if (weight > 1) throw new RangeError("the counts end inside a number");
  return runs;
}
