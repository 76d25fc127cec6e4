/** Damaged manifests, and what must be said of them. */

import { expect } from "vitest";
import { checkFilesListed, checkManifest, checkStrategy } from "../src/bundle/check.ts";
import { BundleError } from "../src/errors.ts";
import { parseTiny, type Json } from "./tiny.ts";

/** A value of a JSON text, by its keys. */
export function at(root: Json, path: string): [parent: Json, key: string] {
  const keys = path.split(".");
  const last = keys.pop()!;
  return [keys.reduce((json, key) => json[key]!, root), last];
}

/** The JSON text, of which one value is replaced; undefined removes it. */
export function changedAt(json: Json, path: string, value: unknown): Json {
  const [parent, key] = at(json, path);
  if (value === undefined) delete parent[key];
  else parent[key] = value as Json;
  return json;
}

/** Read a manifest, and check it as one that was fetched. */
export function openManifest(json: Json, table: Int32Array): void {
  const manifest = parseTiny(json);
  checkFilesListed(manifest);
  checkStrategy(manifest);
  checkManifest(manifest, table);
}

export function expectRefused(open: () => void, reason: RegExp): void {
  expect(open).toThrow(BundleError);
  expect(open).toThrow(reason);
  expect(open).not.toThrow("\n");
}
