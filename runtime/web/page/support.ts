/** What the page needs of a browser. */

/** The smallest module with a SIMD instruction: (func v128.const i64x2 0 0 drop). */
const SIMD_MODULE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic and version
  0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // one type: () -> ()
  0x03, 0x02, 0x01, 0x00, // one function of it
  0x0a, 0x17, 0x01, 0x15, 0x00, // its code: 21 bytes, no locals
  0xfd, 0x0c, ...new Array<number>(16).fill(0), // v128.const 0
  0x1a, 0x0b, // drop, end
]);

/** What this browser lacks, in words; empty if the page can run. */
export function missingFeatures(): string[] {
  const missing: string[] = [];
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD_MODULE)) {
    missing.push("WebAssembly SIMD");
  }
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
  return typeof OffscreenCanvas === "function" && new OffscreenCanvas(1, 1).getContext("2d") !== null;
}
