/** The bundle on a server: fetched as far as it is needed, checked byte for byte, never trusted. */

import { BundleError } from "../errors.ts";
import type { ProgramFiles } from "../graph/program.ts";
import type { Size } from "../rectangles.ts";
import { programsOf, type Strategy } from "../strategies/strategy.ts";
import { checkFilesListed, checkManifest, checkStrategy } from "./check.ts";
import { parseJson } from "./checkedJson.ts";
import { chooseStrategy, ownStrategy } from "./choice.ts";
import { fetchListed, fetchUnlisted } from "./download.ts";
import { parseGolden, type Golden } from "./golden.ts";
import { parseManifest } from "./parser.ts";
import { MANIFEST_NAME, type Manifest } from "./records.ts";

const MAX_MANIFEST_BYTES = 16 * 2 ** 20;

/** A checked bundle: what answers taps, and everything that this takes. */
export interface Bundle {
  readonly manifest: Manifest;
  /** What answers taps unless a user names something else. */
  readonly ownStrategy: Strategy;
  /** What answers taps. */
  readonly strategy: Strategy;
  readonly programs: ReadonlyMap<string, ProgramFiles>;
  readonly golden: Golden;
  /** A PNG. */
  readonly goldenPhoto: Uint8Array<ArrayBuffer>;
  /** How much was fetched. */
  readonly bytes: number;
}

/**
 * Fetch what a schedule or strategy needs of the bundle at `base`, a URL that ends with a slash.
 *
 * `onBytes` is told how many bytes have come, of how many. Throws a `BundleError` when the bundle
 * is missing, damaged, altered, malformed, of another schema version, has no such schedule, serves
 * no such canvas, or uses files that it does not list.
 */
export async function fetchBundle(
  base: string,
  schedule: string | undefined,
  canvas: Size | undefined,
  onBytes: (done: number, total: number) => void,
): Promise<Bundle> {
  const text = await fetchUnlisted(base, MANIFEST_NAME, MAX_MANIFEST_BYTES);
  const manifest = parseManifest(parseJson(text, MANIFEST_NAME));
  checkFilesListed(manifest);
  checkStrategy(manifest);
  const own = ownStrategy(manifest);
  const strategy = chooseStrategy(manifest, own, schedule, canvas);

  const names = programsOf(strategy).filter((name) => manifest.programs.has(name));
  const fileOf = (name: string) => manifest.programs.get(name)!.file;
  const weights = filesBeside(manifest, names.map(fileOf));
  const { tableFile, goldenFile, goldenPhoto } = manifest;
  const used = [tableFile, goldenFile, goldenPhoto, ...names.map(fileOf), ...weights];
  const needed = [...new Set(used)];
  const total = needed.reduce((sum, path) => sum + manifest.files.get(path)!.bytes, 0);
  let done = 0;
  const fetched = needed.map(async (path) => {
    const data = await fetchListed(base, path, manifest.files.get(path)!, (count) => {
      done += count;
      onBytes(done, total);
    });
    return [path, data] as const;
  });
  const files = new Map(await Promise.all(fetched));

  checkManifest(manifest, parseTable(files.get(tableFile)!, manifest));
  const { length } = manifest.schedules;
  const golden = parseGolden(parseJson(files.get(goldenFile)!, goldenFile), length);
  const programs = names.map((name): [string, ProgramFiles] => {
    const folder = folderOf(fileOf(name));
    const externalData = weights
      .filter((path) => folderOf(path) === folder)
      .map((path) => ({ path: path.slice(folder.length), data: files.get(path)! }));
    return [name, { model: files.get(fileOf(name))!, externalData }];
  });
  return {
    manifest,
    ownStrategy: own,
    strategy,
    programs: new Map(programs),
    golden,
    goldenPhoto: files.get(goldenPhoto)!,
    bytes: text.length + done,
  };
}

/** Listed files in the folders of models that are no models themselves: what these may name. */
function filesBeside(manifest: Manifest, models: readonly string[]): string[] {
  const allModels = new Set([...manifest.programs.values()].map(({ file }) => file));
  const folders = new Set(models.map(folderOf));
  return [...manifest.files.keys()].filter(
    (path) => folderOf(path) !== "" && folders.has(folderOf(path)) && !allModels.has(path),
  );
}

function parseTable(data: Uint8Array, manifest: Manifest): Int32Array {
  if (data.length !== 4 * manifest.tableCount) {
    throw new BundleError(
      `${manifest.tableFile} does not hold ${manifest.tableCount} numbers of 4 bytes; ` +
        "export the bundle again.",
    );
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Int32Array.from({ length: manifest.tableCount }, (_, i) => view.getInt32(4 * i, true));
}

/** With the slash at its end; empty for the bundle itself. */
function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}
