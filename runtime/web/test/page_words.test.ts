import { describe, expect, it } from "vitest";
import { groupRegions } from "../page/regions.ts";
import {
  bytesInWords,
  countInWords,
  labelCandidates,
  millisecondsInWords,
  shareInWords,
} from "../page/words.ts";
import type { Box } from "../src/index.ts";

const box: Box = [0, 0, 10, 10];
const levels = ["P3", "P4", "P5", "P6", "P7"];

describe("words", () => {
  it("labels candidates from the finest to the coarsest, whatever their scores", () => {
    const candidates = ["P6", "P3", "P5"].map((level, i) => ({ level, score: 1 - i / 4, box }));
    const labelled = labelCandidates(candidates, levels).map(({ level, label }) => [level, label]);
    expect(labelled).toEqual([
      ["P3", "Part"],
      ["P5", "Larger part"],
      ["P6", "Whole"],
    ]);
  });

  it("has distinct labels for any number of levels", () => {
    for (const count of [1, 2, 3, 4, 5, 7]) {
      const names = Array.from({ length: count }, (_, i) => `P${i}`);
      const labels = labelCandidates(
        names.map((level) => ({ level, score: 0, box })),
        names,
      );
      expect(new Set(labels.map(({ label }) => label)).size).toBe(count);
    }
  });

  it("tells sizes, counts, times and shares in units that people read", () => {
    expect(bytesInWords(0)).toBe("0 B");
    expect(bytesInWords(4_054_016)).toBe("4.1 MB");
    expect(bytesInWords(999_600)).toBe("1.0 MB");
    expect(countInWords(441_900_000)).toBe("442 million");
    expect(countInWords(1_230_000_000)).toBe("1.2 billion");
    expect(millisecondsInWords(3.14)).toBe("3.1 ms");
    expect(millisecondsInWords(84.4)).toBe("84 ms");
    expect(shareInWords(0)).toBe("0 %");
    expect(shareInWords(0.004)).toBe("0.4 %");
    expect(shareInWords(195 / 12e6)).toBe("0.002 %");
    expect(shareInWords(1e-6)).toBe("under 0.001 %");
    expect(shareInWords(0.1234)).toBe("12 %");
  });
});

describe("regions", () => {
  it("are grouped by look and program, a program keeps its colour, equal boxes count once", () => {
    const other: Box = [2, 3, 8, 9];
    const region = (program: string, look: number, where: Box, input: string) => ({
      program,
      look,
      box: where,
      input,
    });
    const groups = groupRegions([
      region("query", 0, box, "image"),
      region("mask", 0, box, "p3"),
      region("query", 1, other, "image"),
      region("query", 1, other, "p3"),
      region("query", 1, box, "p4"),
    ]);
    expect(groups.map(({ look, program, boxes }) => [look, program, boxes])).toEqual([
      [0, "query", [box]],
      [0, "mask", [box]],
      [1, "query", [other, box]],
    ]);
    expect(groups[0]?.color).toBe(groups[2]?.color);
    expect(groups[0]?.color).not.toBe(groups[1]?.color);
  });
});
