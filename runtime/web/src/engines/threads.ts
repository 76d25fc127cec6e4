/** How many threads WebAssembly gets. */

const MOST_BY_DEFAULT = 4;

/**
 * Those asked for, by default what suits the device; one where the page is not isolated, which is
 * all that a browser then allows. More than there are cores are warned of on the console.
 */
export function chosenThreads(asked: number | undefined, isIsolated: boolean): number {
  if (!isIsolated) return 1;
  const cores = navigator.hardwareConcurrency;
  const threads = asked ?? Math.min(MOST_BY_DEFAULT, cores);
  if (threads > cores) {
    console.warn(
      `${threads} threads on ${cores} cores, which are all that this page may use, are many times ` +
        `slower than one on each; ask for at most ${cores}`,
    );
  }
  return threads;
}
