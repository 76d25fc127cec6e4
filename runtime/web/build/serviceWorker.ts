/** The build's last step: the service worker, which lists the files that the build has written. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { build, type Plugin, type ResolvedConfig } from "vite";
import { INDEX, type PageFile } from "../page/cacheChoice.ts";

const OUTPUT = "sw.js";

/** A Vite plugin that builds `entry` into sw.js, one classic script, beside index.html. */
export function serviceWorker(entry: string): Plugin {
  let config: ResolvedConfig;
  return {
    name: "tracenet-service-worker",
    apply: "build",
    configResolved(resolved) {
      config = resolved;
    },
    closeBundle: {
      order: "post",
      sequential: true,
      async handler() {
        const outDir = resolve(config.root, config.build.outDir);
        const files = pageFiles(outDir);
        await build({
          configFile: false,
          root: config.root,
          publicDir: false,
          logLevel: "warn",
          define: {
            PAGE_FILES: JSON.stringify(files),
            PAGE_VERSION: JSON.stringify(sha256(Buffer.from(JSON.stringify(files)))),
          },
          build: {
            target: config.build.target,
            outDir,
            emptyOutDir: false,
            lib: {
              entry: join(config.root, entry),
              formats: ["iife"],
              name: "sw",
              fileName: () => OUTPUT,
            },
          },
        });
      },
    },
  };
}

/**
 * Every file below a folder but the service worker itself and texts about files, sorted by name.
 */
function pageFiles(folder: string): PageFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({
      url: relative(folder, path).split(sep).join("/"),
      sha256: sha256(readFileSync(path)),
    }))
    .filter(({ url }) => url !== OUTPUT && !url.endsWith(".md"))
    .map((file) => (file.url === "index.html" ? { ...file, url: INDEX } : file))
    .sort((a, b) => (a.url < b.url ? -1 : 1));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
