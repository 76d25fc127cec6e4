/** Which way imports go, by folder: type-only ones and a worker's script count. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const BASE = ["contract", "errors", "rectangles", "timing"];

/** What each folder may import besides its own; public modules may import all of `src`. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  base: [],
  image: ["base"],
  graph: ["base"],
  answer: ["base", "image", "graph"],
  strategies: ["base", "image", "graph", "answer"],
  tracking: ["base", "image", "graph", "answer"],
  bundle: ["base", "image", "graph", "answer", "strategies", "tracking"],
  engines: ["base", "graph"],
  worker: ["base", "image", "graph", "answer", "strategies", "tracking", "bundle", "engines"],
};

/** Module -> the modules that it imports, as paths from ROOT. */
const imports = new Map(
  ["src", "page"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name))
      .map((module) => [module, importsOf(module)] as const),
  ),
);

function importsOf(module: string): string[] {
  const text = readFileSync(join(ROOT, module), "utf8");
  const named = ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
  const workers = [...text.matchAll(/new URL\("(\.[^"]+\.ts)"/g)].map(([, name]) => name!);
  const own = [...named, ...workers].filter((name) => name.startsWith("."));
  return own.map((name) => normalize(join(dirname(module), name)));
}

function folderOf(module: string): string {
  const [root, first, rest] = module.split("/");
  if (root === "page") return "page";
  if (rest !== undefined) return first!;
  return BASE.includes(first!.replace(/\.ts$/, "")) ? "base" : "public";
}

test("imports of every kind are seen", () => {
  expect(imports.get("src/session.ts")).toContain("src/worker/connection.ts"); // types only
  expect(imports.get("src/segmenter.ts")).toContain("src/session.ts");
  expect(imports.get("src/worker/connection.ts")).toContain("src/worker/worker.ts");
  for (const named of imports.values()) expect(named.filter((v) => !imports.has(v))).toEqual([]);
});

test("nothing runs back up", () => {
  for (const [module, named] of imports) {
    const here = folderOf(module);
    const allowed = BELOW[here] ?? [...Object.keys(BELOW), "public"];
    const wrong = named.filter((name) => ![here, ...allowed].includes(folderOf(name)));
    expect(wrong, `${module} (${here})`).toEqual([]);
  }
});

test("there is no circle", () => {
  const visited = new Set<string>();
  const visit = (module: string, above: readonly string[]): void => {
    expect(above, "a circle").not.toContain(module);
    if (visited.has(module)) return;
    for (const name of imports.get(module)!) visit(name, [...above, module]);
    visited.add(module);
  };
  for (const module of imports.keys()) visit(module, []);
});
