/** What a tap gives, before its mask is placed on the photo. */

import type { MaskMap } from "./placeMask.ts";
import type { TapResult } from "./types.ts";

/** A tap's result without its mask, and what the mask is made of; it can be posted to the page. */
export type Answer = Omit<TapResult, "mask" | "maskAt"> & { readonly map: MaskMap };
