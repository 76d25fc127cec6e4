/** What the page needs of a browser. */

import { hasSimd } from "../src/engines/simd.ts";

/** What this browser lacks, in words; empty if the page can run. */
export function missingFeatures(): string[] {
  const missing: string[] = [];
  if (!hasSimd()) missing.push("WebAssembly SIMD");
  if (!hasModuleWorkers()) missing.push("module workers");
  if (!hasOffscreenCanvas()) missing.push("OffscreenCanvas");
  return missing;
}

/** A browser that knows module workers reads the option `type`; others do not look at it. */
function hasModuleWorkers(): boolean {
  let isRead = false;
  const url = URL.createObjectURL(new Blob([], { type: "text/javascript" }));
  try {
    const options: WorkerOptions = {
      get type(): WorkerType {
        isRead = true;
        return "module";
      },
    };
    new Worker(url, options).terminate();
  } catch {
    return false;
  } finally {
    URL.revokeObjectURL(url);
  }
  return isRead;
}

function hasOffscreenCanvas(): boolean {
  return (
    typeof OffscreenCanvas === "function" && new OffscreenCanvas(1, 1).getContext("2d") !== null
  );
}
