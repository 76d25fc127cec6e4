import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  resolve: {
    // ONNX Runtime's glue code and WebAssembly as files of their own, whose addresses we pass on.
    conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions],
  },
  build: {
    target: "es2022",
    outDir: "../tracenet_demo/page",
    emptyOutDir: true,
  },
  worker: { format: "es" },
  test: { include: ["test/**/*.test.ts"] },
});
