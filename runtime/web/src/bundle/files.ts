/** The bundle on a server: fetched as far as it is needed, checked byte for byte, never trusted. */

import { BundleError, firstLine } from "../errors.ts";
import type { ProgramFiles } from "../graph/program.ts";
import type { Size } from "../rectangles.ts";
import { programsOf, type Strategy } from "../strategies/strategy.ts";
import { checkFilesListed, checkManifest, checkStrategy } from "./check.ts";
import { parseJson } from "./checkedJson.ts";
import { chooseStrategy, ownStrategy } from "./choice.ts";
import { fetchListed, fetchUnlisted } from "./download.ts";
import { parseGolden, type Golden } from "./golden.ts";
import { externalLocations } from "./onnxFiles.ts";
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
 * no such canvas, or names files that it does not list.
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
  const models = new Set(names.map((name) => manifest.programs.get(name)!.file));
  const { tableFile, goldenFile, goldenPhoto } = manifest;
  const needed = new Set([tableFile, goldenFile, goldenPhoto, ...models]);
  let done = 0;
  let total = sizeOf(manifest, [...needed, ...possibleWeights(manifest)]);
  const fetchAll = async (paths: Iterable<string>) => {
    const fetched = [...paths].map(async (path) => {
      const data = await fetchListed(base, path, manifest.files.get(path)!, (count) => {
        done += count;
        onBytes(done, total);
      });
      return [path, data] as const;
    });
    return new Map(await Promise.all(fetched));
  };

  const files = await fetchAll(needed);
  checkManifest(manifest, parseTable(files.get(tableFile)!, manifest));
  const golden = parseGolden(
    parseJson(files.get(goldenFile)!, goldenFile),
    manifest.schedules.length,
  );
  const locations = new Map(
    names.map((name) => [name, weightsOf(manifest, name, files)] as const),
  );
  const weightFiles = new Set([...locations.values()].flatMap((paths) => [...paths.values()]));
  total = sizeOf(manifest, [...needed, ...weightFiles]);
  const weights = await fetchAll(weightFiles);
  const programs = names.map((name): [string, ProgramFiles] => {
    const externalData = [...locations.get(name)!].map(([path, file]) => ({
      path,
      data: weights.get(file)!,
    }));
    return [name, { model: files.get(manifest.programs.get(name)!.file)!, externalData }];
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

/** Listed files beside the models that are no models themselves. */
function possibleWeights(manifest: Manifest): string[] {
  const models = [...manifest.programs.values()].map((program) => program.file);
  const folders = new Set(models.map(folderOf));
  return [...manifest.files.keys()].filter(
    (path) => folders.has(folderOf(path)) && folderOf(path) !== "" && !models.includes(path),
  );
}

/** The external data of a program: location in the model -> path in the bundle. */
function weightsOf(
  manifest: Manifest,
  program: string,
  files: ReadonlyMap<string, Uint8Array>,
): Map<string, string> {
  const { file } = manifest.programs.get(program)!;
  const paths = new Map<string, string>();
  for (const location of locationsIn(program, files.get(file)!)) {
    const path = folderOf(file) + location;
    if (!manifest.files.has(path)) {
      throw new BundleError(
        `The program '${program}' keeps weights in '${location}', which the bundle does not ` +
          "list; export the bundle again.",
      );
    }
    paths.set(location, path);
  }
  return paths;
}

function locationsIn(program: string, model: Uint8Array): Set<string> {
  try {
    return externalLocations(model);
  } catch (error) {
    throw new BundleError(
      `The program '${program}' is not an ONNX model (${firstLine(error)}); ` +
        "export the bundle again.",
    );
  }
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

function sizeOf(manifest: Manifest, paths: Iterable<string>): number {
  return [...new Set(paths)].reduce((sum, path) => sum + manifest.files.get(path)!.bytes, 0);
}
