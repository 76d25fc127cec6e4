/** Masks as PNGs in a ZIP, in memory. PNGs are packed, so the ZIP stores them as they are. */

import { Zip, ZipPassThrough } from "fflate";

export class MaskZip {
  private readonly chunks: Uint8Array<ArrayBuffer>[] = [];
  private readonly zip = new Zip((error, chunk) => {
    if (error) throw error;
    this.chunks.push(chunk as Uint8Array<ArrayBuffer>);
  });

  /** @param frames that the clip has */
  constructor(private readonly frames: number) {}

  async add(thing: number, number: number, png: Blob): Promise<void> {
    const file = new ZipPassThrough(maskName(thing, number, this.frames));
    this.zip.add(file);
    file.push(new Uint8Array(await png.arrayBuffer()), true);
  }

  end(): Blob {
    this.zip.end();
    return new Blob(this.chunks, { type: "application/zip" });
  }
}

/** "thing-1/007.png": both count from 1, with as many digits as sort all frames of the clip. */
export function maskName(thing: number, number: number, frames: number): string {
  const digits = String(frames).length;
  return `thing-${thing + 1}/${String(number + 1).padStart(digits, "0")}.png`;
}
