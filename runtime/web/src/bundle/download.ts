/** Files of a bundle, fetched and checked byte for byte. */

import { BundleError, BundleUnreachable } from "../errors.ts";
import type { FileRecord } from "./records.ts";
import { sha256 } from "./sha256.ts";

/**
 * The bytes of a listed file; `BundleError` when it is missing, damaged or altered.
 *
 * Rejects with the signal's reason when that aborts.
 */
export async function fetchListed(
  base: string,
  path: string,
  record: FileRecord,
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const data = new Uint8Array(record.bytes);
  let length = 0;
  for await (const chunk of fetchChunks(base, path, signal)) {
    if (length + chunk.length > record.bytes) throw wrongSize(path, "more than", record);
    data.set(chunk, length);
    length += chunk.length;
    onBytes(chunk.length);
  }
  if (length !== record.bytes) throw wrongSize(path, `${length} bytes instead of`, record);
  if ((await sha256(data)) !== record.sha256) {
    throw new BundleError(
      `${path} of the bundle was altered or damaged (its SHA-256 differs); ` +
        "copy or export the bundle again.",
    );
  }
  return data;
}

/** The bytes of a file that is not listed, `most` of them; `BundleError` when it is missing. */
export async function fetchUnlisted(base: string, path: string, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const chunk of fetchChunks(base, path)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > most) throw new BundleError(`${path} is larger than a bundle's may be.`);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

async function* fetchChunks(
  base: string,
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  try {
    const response = await fetch(new URL(path, base), signal && { signal });
    if (!response.ok || response.body === null) {
      throw new BundleError(
        `The bundle at ${base} lacks its file ${path} (HTTP status ${response.status}); ` +
          "copy or export it again.",
      );
    }
    const reader = response.body.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } catch (error) {
    if (error instanceof BundleError) throw error;
    signal?.throwIfAborted();
    throw new BundleUnreachable(
      `${path} of the bundle cannot be fetched; check the connection and try again.`,
    );
  }
}

function wrongSize(path: string, found: string, record: FileRecord): BundleError {
  return new BundleError(
    `${path} of the bundle has ${found} ${record.bytes} bytes; copy or export the bundle again.`,
  );
}
