/** Several things in one frame. */

/** No probability is nearer to 0 or 1, so that odds are finite. */
const LEAST = Math.fround(1e-6);
const MOST = Math.fround(1 - 1e-6);

/**
 * Soft aggregation: masks that share the cells, each in proportion to its odds.
 *
 * As in STM (arXiv 1904.00607, section 3.5), but that background has the odds of 1, as if none of
 * the things were there: one mask alone stays what it was, where STM's would become sharper. The
 * sum of what is returned is at most 1 everywhere.
 */
export function aggregated(probabilities: readonly Float32Array[]): Float32Array[] {
  const odds = probabilities.map((mask) =>
    Float64Array.from(mask, (value) => {
      const clipped = Math.min(Math.max(value, LEAST), MOST);
      return clipped / (1 - clipped);
    }),
  );
  return odds.map((own) =>
    Float32Array.from(own, (value, cell) => {
      return value / odds.reduce((sum, other) => sum + other[cell]!, 1);
    }),
  );
}
