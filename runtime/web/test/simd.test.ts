import { afterEach, describe, expect, it, vi } from "vitest";
import { hasSimd } from "../src/engines/simd.ts";

describe("the check for WebAssembly SIMD", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("is passed by an engine that has it", () => expect(hasSimd()).toBe(true));

  it("is not passed without WebAssembly, or by an engine that refuses vectors", () => {
    vi.stubGlobal("WebAssembly", { validate: (module: Uint8Array) => !module.includes(0xfd) });
    expect(hasSimd()).toBe(false);
    vi.stubGlobal("WebAssembly", undefined);
    expect(hasSimd()).toBe(false);
  });
});
