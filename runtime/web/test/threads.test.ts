import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chosenThreads } from "../src/engines/threads.ts";

describe("the number of threads", () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);

  beforeEach(() => {
    vi.stubGlobal("navigator", { hardwareConcurrency: 2 });
    warn.mockClear();
  });
  afterEach(() => vi.unstubAllGlobals());

  it("is by default what suits the device", () => {
    expect(chosenThreads(undefined, true)).toBe(2);
    vi.stubGlobal("navigator", { hardwareConcurrency: 16 });
    expect(chosenThreads(undefined, true)).toBe(4);
    expect(warn).not.toHaveBeenCalled();
  });

  it("is warned of beyond the cores", () => {
    expect(chosenThreads(2, true)).toBe(2);
    expect(warn).not.toHaveBeenCalled();
    expect(chosenThreads(8, true)).toBe(8);
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining("8 threads on 2 cores"));
  });

  it("is one where the page is not isolated", () => {
    expect(chosenThreads(8, false)).toBe(1);
    expect(warn).not.toHaveBeenCalled();
  });
});
