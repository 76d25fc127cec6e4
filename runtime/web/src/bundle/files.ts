/** The bundle on a server: fetched as far as it is needed, checked byte for byte, never trusted. */

import { BundleError } from "../errors.ts";
import type { ProgramFiles } from "../graph/program.ts";
import type { Size } from "../rectangles.ts";
import { programsOf, type Strategy } from "../strategies/strategy.ts";
import type { Tracking } from "../tracking/records.ts";
import { checkFilesListed, checkManifest, checkStrategy } from "./check.ts";
import { parseJson } from "./checkedJson.ts";
import { chooseStrategy, ownStrategy } from "./choice.ts";
import { fetchListed, fetchUnlisted } from "./download.ts";
import { parseGolden, type Golden } from "./golden.ts";
import { parseManifest } from "./parser.ts";
import { MANIFEST_NAME, TRACKING_WEIGHTS, type Manifest } from "./records.ts";

const MAX_MANIFEST_BYTES = 16 * 2 ** 20;

/** A checked bundle: what answers taps, and everything that this takes. */
export interface Bundle {
  /** Its URL, which ends with a slash. */
  readonly base: string;
  readonly manifest: Manifest;
  /** What answers taps unless a user names something else. */
  readonly ownStrategy: Strategy;
  /** What answers taps. */
  readonly strategy: Strategy;
  readonly programs: ReadonlyMap<string, ProgramFiles>;
  readonly golden: Golden;
  /** A PNG. */
  readonly goldenPhoto: Uint8Array<ArrayBuffer>;
  /** What was fetched, by path. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
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
  const { tableFile, goldenFile, goldenPhoto } = manifest;
  const files = await fetchAll(
    base,
    manifest,
    [tableFile, goldenFile, goldenPhoto, ...filesOf(manifest, names)],
    onBytes,
  );
  checkManifest(manifest, parseTable(files.get(tableFile)!, manifest));
  const { length } = manifest.schedules;
  const golden = parseGolden(parseJson(files.get(goldenFile)!, goldenFile), length);
  return {
    base,
    manifest,
    ownStrategy: own,
    strategy,
    programs: programFiles(manifest, names, files),
    golden,
    goldenPhoto: files.get(goldenPhoto)!,
    files,
    bytes: [...files.values()].reduce((sum, data) => sum + data.length, text.length),
  };
}

/**
 * Fetch the programs that carry masks through clips; what the bundle has already is not fetched.
 *
 * `onBytes` is told how many bytes have come, of how many. Throws as `fetchBundle` does, and with
 * the signal's reason when that aborts.
 */
export async function fetchTracking(
  { base, manifest, files }: Bundle,
  tracking: Tracking,
  onBytes: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<Map<string, ProgramFiles>> {
  const names = Object.values(tracking.programs);
  const missing = filesOf(manifest, names).filter((path) => !files.has(path));
  const fetched = await fetchAll(base, manifest, missing, onBytes, signal);
  return programFiles(manifest, names, new Map([...files, ...fetched]));
}

async function fetchAll(
  base: string,
  manifest: Manifest,
  paths: readonly string[],
  onBytes: (done: number, total: number) => void,
  signal?: AbortSignal,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const needed = [...new Set(paths)];
  const total = needed.reduce((sum, path) => sum + manifest.files.get(path)!.bytes, 0);
  let done = 0;
  const onCount = (count: number) => {
    done += count;
    onBytes(done, total);
  };
  const fetched = needed.map(async (path) => {
    const data = await fetchListed(base, path, manifest.files.get(path)!, onCount, signal);
    return [path, data] as const;
  });
  return new Map(await Promise.all(fetched));
}

/** The models of programs, and what these may name. */
function filesOf(manifest: Manifest, names: readonly string[]): string[] {
  const models = names.map((name) => manifest.programs.get(name)!.file);
  return [...models, ...filesBeside(manifest, names)];
}

/** What an engine takes of programs, whose files are there. */
function programFiles(
  manifest: Manifest,
  names: readonly string[],
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
): Map<string, ProgramFiles> {
  const beside = filesBeside(manifest, names);
  const programs = names.map((name): [string, ProgramFiles] => {
    const { file } = manifest.programs.get(name)!;
    const folder = folderOf(file);
    const externalData = beside
      .filter((path) => folderOf(path) === folder)
      .map((path) => ({ path: path.slice(folder.length), data: files.get(path)! }));
    return [name, { model: files.get(file)!, externalData }];
  });
  return new Map(programs);
}

/**
 * Listed files in the folders of models that are no models themselves: what these may name.
 *
 * Of those, TRACKING_WEIGHTS are for the programs that carry masks through clips alone.
 */
function filesBeside({ programs, files, tracking }: Manifest, names: readonly string[]): string[] {
  const allModels = new Set([...programs.values()].map(({ file }) => file));
  const folders = new Set(names.map((name) => folderOf(programs.get(name)!.file)));
  const tracks = tracking !== null && names.includes(tracking.programs.frame);
  return [...files.keys()].filter((path) => {
    const folder = folderOf(path);
    const isOwn = tracks || path !== folder + TRACKING_WEIGHTS;
    return folder !== "" && folders.has(folder) && !allModels.has(path) && isOwn;
  });
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
