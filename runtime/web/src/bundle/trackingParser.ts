/** Reads what manifest.json says of clips. */

import {
  PARTS,
  TRACKING_DESCRIBED,
  TRACKING_MEMORY,
  type Part,
  type Tracking,
} from "../tracking/records.ts";
import type { JsonValue } from "./checkedJson.ts";

/** Programs and rule; `BundleError` for a memory or tiles that are not this reader's. */
export function parseTracking(tracking: JsonValue): Tracking {
  tracking.get("described").mustHave(TRACKING_DESCRIBED);
  tracking.get("memory_bytes").mustHave(TRACKING_MEMORY);
  const [programs, rule] = [tracking.get("programs"), tracking.get("rule")];
  const fill = within(rule.get("fill"), 0.01, 1);
  const enlarge = within(rule.get("enlarge"), 0.01, 256);
  const names = PARTS.map((part) => [part, programs.get(part).text()] as const);
  const [lost, sure] = [rule.get("lost").share(), rule.get("sure").share()];
  return {
    programs: Object.fromEntries(names) as Record<Part, string>,
    rule: { fill, enlarge, lost, sure },
  };
}

/** Beyond these, a tile would have no side that can be reckoned with. */
function within(value: JsonValue, low: number, high: number): number {
  const number = value.number();
  if (number < low || number > high) value.refuse(`must be from ${low} to ${high}`);
  return number;
}
