/** Where the time of a tap goes. */

/** Milliseconds by stage; a stage that runs several times adds up. */
export type Timings = Record<string, number>;

/** Add the wall-clock time of `work` to a stage, and return what it returns. */
export function timed<T>(timings: Timings, stage: string, work: () => T): T {
  const start = performance.now();
  try {
    return work();
  } finally {
    addSince(timings, stage, start);
  }
}

/** As `timed`, for work that is waited for. */
export async function timedAsync<T>(
  timings: Timings,
  stage: string,
  work: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    addSince(timings, stage, start);
  }
}

function addSince(timings: Timings, stage: string, start: number): void {
  timings[stage] = (timings[stage] ?? 0) + performance.now() - start;
}
