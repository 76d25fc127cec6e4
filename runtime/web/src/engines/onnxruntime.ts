/** ONNX Runtime in WebAssembly. */

import * as ort from "onnxruntime-web/wasm";
import glueUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import {
  BundleError,
  EngineUnavailable,
  firstLine,
  isAllocationFailure,
  OutOfMemory,
  type TraceNetError,
} from "../errors.ts";
import type { Tensor } from "../graph/arrays.ts";
import type { Engine } from "../graph/executor.ts";
import type { Program, ProgramFiles, TensorSpec } from "../graph/program.ts";
import { hasSimd } from "./simd.ts";
import { chosenThreads } from "./threads.ts";

/** What the engine says of itself. */
export interface EngineReport {
  readonly engine: "onnxruntime-web";
  readonly version: string;
  readonly threads: number;
  readonly crossOriginIsolated: boolean;
}

const SESSION_OPTIONS: ort.InferenceSession.SessionOptions = {
  executionProviders: ["wasm"],
  graphOptimizationLevel: "all",
  // Every session would keep an arena of its own; without, runs take no longer.
  enableCpuMemArena: false,
};

/** One inference session per program, all created at once. */
export class OnnxRuntimeEngine implements Engine {
  private constructor(
    private readonly programs: ReadonlyMap<string, Program>,
    private readonly sessions: ReadonlyMap<string, ort.InferenceSession>,
    readonly report: EngineReport,
  ) {}

  /**
   * Sessions for those `programs` whose `files` are given; `threads` is by default what suits the device.
   *
   * Throws `EngineUnavailable` when the browser lacks WebAssembly SIMD, a `BundleError` when ONNX
   * Runtime refuses a model, and `OutOfMemory`.
   */
  static async open(
    programs: ReadonlyMap<string, Program>,
    files: ReadonlyMap<string, ProgramFiles>,
    threads: number | undefined,
    onOpened: (done: number, total: number) => void,
  ): Promise<OnnxRuntimeEngine> {
    checkBrowser();
    const isolated = globalThis.crossOriginIsolated;
    ort.env.wasm.numThreads = chosenThreads(threads, isolated);
    ort.env.wasm.wasmPaths = {
      mjs: new URL(glueUrl, import.meta.url).href,
      wasm: new URL(wasmUrl, import.meta.url).href,
    };
    ort.env.logLevel = "fatal";
    const sessions = new Map<string, ort.InferenceSession>();
    for (const [name, stored] of files) {
      onOpened(sessions.size, files.size);
      sessions.set(name, await openSession(name, stored));
    }
    onOpened(sessions.size, files.size);
    return new OnnxRuntimeEngine(programs, sessions, {
      engine: "onnxruntime-web",
      version: ort.env.versions.web ?? ort.env.versions.common,
      threads: ort.env.wasm.numThreads,
      crossOriginIsolated: isolated,
    });
  }

  async run(
    program: string,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>> {
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, { data, shape }] of inputs) {
      feeds[name] = new ort.Tensor("float32", data, shape);
    }
    const outputs = await this.runSession(program, feeds, wanted);
    const specs = this.programs.get(program)!.outputs;
    return new Map(wanted.map((name) => [name, checkedTensor(program, outputs, specs.get(name)!)]));
  }

  private async runSession(
    program: string,
    feeds: Record<string, ort.Tensor>,
    wanted: readonly string[],
  ): Promise<ort.InferenceSession.OnnxValueMapType> {
    try {
      return await this.sessions.get(program)!.run(feeds, wanted);
    } catch (error) {
      throw refusal(error, `ONNX Runtime cannot run the program '${program}'`);
    }
  }
}

function checkBrowser(): void {
  if (!hasSimd()) {
    throw new EngineUnavailable(
      "This browser has no WebAssembly SIMD, which the programs need; " +
        "update it or use a current Chrome, Firefox or Safari.",
    );
  }
}

async function openSession(name: string, files: ProgramFiles): Promise<ort.InferenceSession> {
  const externalData = [...files.externalData];
  try {
    return await ort.InferenceSession.create(files.model, { ...SESSION_OPTIONS, externalData });
  } catch (error) {
    throw refusal(error, `ONNX Runtime does not accept the program '${name}'`);
  }
}

function refusal(error: unknown, what: string): TraceNetError {
  if (isAllocationFailure(error)) {
    return new OutOfMemory(
      "The browser refused the memory that the programs need; close other tabs and load again.",
    );
  }
  // ONNX Runtime fetches its WebAssembly when the first session is created.
  if (/no available backend/.test(firstLine(error))) {
    return new EngineUnavailable(
      "ONNX Runtime could not be started; check the connection and load the page again.",
    );
  }
  return new BundleError(`${what}: ${firstLine(error)}; export the bundle again.`);
}

function checkedTensor(
  program: string,
  outputs: ort.InferenceSession.OnnxValueMapType,
  { name, shape }: TensorSpec,
): Tensor {
  const output = outputs[name];
  const data = output?.type === "float32" ? output.data : undefined;
  if (!(data instanceof Float32Array) || output?.dims.join() !== shape.join()) {
    throw new BundleError(
      `The program '${program}' does not give '${name}' of shape ${shape.join(" x ")} as the ` +
        "manifest says; export the bundle again.",
    );
  }
  return { data, shape };
}
