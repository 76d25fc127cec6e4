/** Where the time of a tap goes. */

/** Milliseconds by stage; a stage that runs several times adds up. */
export type Timings = Record<string, number>;

/** Add the wall-clock time of `work`, until its promise is kept if it gives one, to a stage. */
export function timed<T>(timings: Timings, stage: string, work: () => T): T {
  const start = performance.now();
  const add = () => {
    timings[stage] = (timings[stage] ?? 0) + performance.now() - start;
  };
  const result = work();
  if (result instanceof Promise) return result.finally(add) as T;
  add();
  return result;
}
