import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TapSegmenter } from "../src/index.ts";

describe("offline use", () => {
  let note: { textContent: string };
  beforeEach(() => {
    note = { textContent: "" };
    vi.stubGlobal("HTMLElement", class {});
    vi.doMock("../page/dom.ts", () => ({ element: () => note }));
    vi.stubEnv("PROD", true);
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
    vi.doUnmock("../page/dom.ts");
  });

  it("is not promised if the worker is ended before it answers", async () => {
    const active = { state: "activated", postMessage: () => {} };
    vi.stubGlobal("navigator", {
      serviceWorker: { register: () => Promise.resolve({ active }) },
    });
    const { startOffline } = await import("../page/offline.ts");
    const isStored = startOffline(Promise.resolve({ bundle: {} } as TapSegmenter));
    await vi.runAllTimersAsync();
    expect(await isStored).toBe(false);
    expect(note.textContent).toContain("not stored for offline use yet");
  });
});
