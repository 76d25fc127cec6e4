/** The windows that a tap read, by look and program, with the colours in which they are drawn. */

import type { Box, ComputedRegion } from "../src/index.ts";

export interface RegionGroup {
  readonly look: number;
  readonly program: string;
  readonly boxes: readonly Box[];
  readonly color: string;
}

/** Told apart by most colour-blind eyes; used again from the start if there are more programs. */
const COLORS = ["#ffd60a", "#ff6ac1", "#4cc9f0", "#8ae234", "#ff8c42", "#c792ea", "#f4f4f4"];

/** One group for each look and program, in the order in which they ran. */
export function groupRegions(regions: readonly ComputedRegion[]): RegionGroup[] {
  const groups = new Map<string, ComputedRegion[]>();
  const programs: string[] = [];
  for (const region of regions) {
    if (!programs.includes(region.program)) programs.push(region.program);
    const key = `${region.look} ${region.program}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [region]);
    else group.push(region);
  }
  return [...groups.values()].map((group) => {
    const { look, program } = group[0] as ComputedRegion;
    return {
      look,
      program,
      boxes: distinct(group.map((region) => region.box)),
      color: COLORS[programs.indexOf(program) % COLORS.length] as string,
    };
  });
}

function distinct(boxes: readonly Box[]): Box[] {
  return [...new Map(boxes.map((box) => [box.join(), box])).values()];
}
