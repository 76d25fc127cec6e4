import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";
import { serviceWorker } from "./build/serviceWorker.ts";

export default defineConfig({
  base: "./",
  plugins: [serviceWorker("page/sw.ts")],
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
  // A busy machine may take long, which is not what is tested.
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000 },
});
