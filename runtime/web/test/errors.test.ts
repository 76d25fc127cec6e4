import { describe, expect, it } from "vitest";
import { asTraceNetError, isAllocationFailure, OutOfMemory } from "../src/errors.ts";

describe("refused memory", () => {
  it.each([
    "std::bad_alloc",
    "bad allocation",
    "Aborted(OOM)",
    "WebAssembly.Memory(): could not allocate memory",
    "Array buffer allocation failed",
    "Failed to allocate memory for requested buffer of size 1024",
    "Available memory of 1 is smaller than requested bytes of 2",
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes",
  ])("is told by %s", (said) => {
    expect(isAllocationFailure(new Error(said))).toBe(true);
    expect(asTraceNetError(new Error(said), "close other tabs")).toBeInstanceOf(OutOfMemory);
  });

  it.each(["invalid protobuf", "Failed to allocate tensors", "no room for this"])(
    "is not told by %s",
    (said) => {
      expect(isAllocationFailure(new Error(said))).toBe(false);
    },
  );
});
