/** What the page needs of a browser. */

/** The smallest module with a SIMD instruction, in hex: (func v128.const i64x2 0 0 drop). */
const SIMD_MODULE = [
  "0061736d01000000", // magic and version
  "010401600000", // one type: () -> ()
  "03020100", // one function of it
  "0a17011500", // its code: 21 bytes, no locals
  `fd0c${"00".repeat(16)}`, // v128.const
  "1a0b", // drop, end
].join("");

/** What this browser lacks, in words; empty if the page can run. */
export function missingFeatures(): string[] {
  const missing: string[] = [];
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(bytesOf(SIMD_MODULE))) {
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
  return (
    typeof OffscreenCanvas === "function" && new OffscreenCanvas(1, 1).getContext("2d") !== null
  );
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
