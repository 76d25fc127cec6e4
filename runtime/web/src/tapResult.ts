/** What a tap gives the page: the answer, with masks that are placed when they are asked for. */

import type { Answer } from "./answer.ts";
import { placeMask, type MaskMap } from "./placeMask.ts";
import type { TapResult } from "./types.ts";

/** The result of an answer; its mask is made at the first use and kept. */
export function tapResult({ map, ...rest }: Answer): TapResult {
  return Object.assign(new Masks(map), rest);
}

/** What the masks of a tap's result are made of, for a worker that places them itself. */
export function mapOf(result: TapResult): MaskMap {
  if (result instanceof Masks) return result.map;
  throw new TypeError("This result is not one of a tap.");
}

class Masks {
  private whole: Uint8Array | null = null;

  constructor(readonly map: MaskMap) {}

  get mask(): Uint8Array {
    this.whole ??= placeMask(this.map, this.map.photo);
    return this.whole;
  }

  maskAt(height: number, width: number): Uint8Array {
    return placeMask(this.map, { height, width });
  }
}
