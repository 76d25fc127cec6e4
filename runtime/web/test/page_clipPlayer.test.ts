import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Player } from "../page/clip/player.ts";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("requestAnimationFrame", (next: () => void) => setTimeout(next, 16));
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it("goes on once where it is paused and played within one frame", async () => {
  const shown: number[] = [];
  const player = new Player([0, 0.1, 0.2, 0.3], {
    go: async (number) => void shown.push(number),
    onPlaying: () => undefined,
  });
  void player.toggle(0);
  await vi.advanceTimersByTimeAsync(120);
  void player.toggle(1);
  void player.toggle(1);
  await vi.runAllTimersAsync();
  expect(shown).toEqual([1, 2, 3]);
});
