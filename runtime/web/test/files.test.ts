/** Bytes of files: hashes, run lengths, photos, errors. */

import { createHash, webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import {
  asTraceNetError,
  BundleError,
  EngineUnavailable,
  fromMessage,
  OutOfMemory,
  PhotoError,
  SessionClosed,
  TapOutsidePhoto,
  toMessage,
  TraceNetError,
  UnknownLevel,
} from "../src/errors.ts";
import { MAX_PIXELS, overWhite, whyUndecodable } from "../src/image/photo.ts";
import { decodeRle } from "../src/image/rle.ts";
import { computeSha256, sha256 } from "../src/bundle/sha256.ts";
import { encodeRle } from "./rle.ts";
import { noise, seededNumbers, wholeNumber } from "./seeded.ts";

test("our SHA-256 is the browser's", async () => {
  for (const length of [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 65537]) {
    const data = new Uint8Array(noise(length, length));
    const digest = new Uint8Array(await webcrypto.subtle.digest("SHA-256", data));
    expect(computeSha256(data)).toEqual(digest);
    expect(await sha256(data)).toBe(createHash("sha256").update(data).digest("hex"));
  }
  expect(computeSha256(noise(1, 100).subarray(7, 71))).toEqual(
    computeSha256(noise(1, 100).slice(7, 71)),
  );
});

test("run lengths are decoded", () => {
  expect([...decodeRle(2, 3, "132")]).toEqual([0, 1, 0, 1, 1, 0]); // columns 0 1, 1 1, 0 0
  const numbers = seededNumbers(3);
  for (let round = 0; round < 200; round++) {
    const [height, width] = [wholeNumber(numbers, 1, 40), wholeNumber(numbers, 1, 40)];
    const threshold = wholeNumber(numbers, 0, 255);
    const mask = noise(round, height * width).map((value) => (value > threshold ? 1 : 0));
    expect(decodeRle(height, width, encodeRle(mask, height, width))).toEqual(mask);
  }
});

test.each(["133", "13", "1 2", "1~", "o", "1oooooooooooo0", "O7"])("run lengths %j", (counts) => {
  expect(() => decodeRle(2, 3, counts)).toThrow(RangeError);
});

test("transparent pixels are put on white", () => {
  const data = [10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128];
  const { data: pixels } = overWhite({ height: 1, width: 3, data });
  expect([...pixels]).toEqual([10, 20, 30, 255, 255, 255, 127, 177, 255]);
});

test("photos without pixels, or with too many, are refused", () => {
  expect(() => overWhite({ height: 0, width: 3, data: [] })).toThrow(PhotoError);
  const many = { height: MAX_PIXELS, width: 2, data: [] };
  expect(() => overWhite(many)).toThrow(/megapixels/);
});

test("errors cross from the worker to the page as what they are", () => {
  const classes = [
    TraceNetError,
    PhotoError,
    TapOutsidePhoto,
    BundleError,
    EngineUnavailable,
    UnknownLevel,
    SessionClosed,
    OutOfMemory,
  ];
  for (const thrown of classes) {
    const error = fromMessage(structuredClone(toMessage(new thrown("Do this."))));
    expect(error.constructor).toBe(thrown);
    expect(error.message).toBe("Do this.");
    expect(error.name).toBe(thrown.name);
  }
});

test("failed allocations are told from other failures", () => {
  const known = new PhotoError("Do this.");
  expect(asTraceNetError(known, "wait")).toBe(known);
  for (const error of [
    new RangeError("Array buffer allocation failed"),
    new Error("failed to allocate a buffer of size 5"),
    new Error("std::bad_alloc"),
    new Error("Aborted(RangeError: WebAssembly.Memory(): could not allocate memory)"),
    "WebAssembly.Memory(): out of memory",
  ]) {
    expect(asTraceNetError(error, "use a smaller photo")).toBeInstanceOf(OutOfMemory);
    expect(asTraceNetError(error, "use a smaller photo").message).toContain("use a smaller photo");
  }
  expect(asTraceNetError(new TypeError("x"), "wait")).not.toBeInstanceOf(OutOfMemory);
});

test("what is empty or has no pixels is told from what must be converted", async () => {
  expect(await whyUndecodable(new Blob([]))).toMatch(/^The file is empty/);
  const png = new Uint8Array(33);
  png.set([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
  png[23] = 7;
  const gif = new Uint8Array([...new TextEncoder().encode("GIF89a"), 5, 0, 0, 0, 0, 0, 0, 0]);
  const bmp = new Uint8Array(54);
  bmp.set([0x42, 0x4d]);
  for (const [bytes, size] of [
    [png, "0 x 7"],
    [gif, "5 x 0"],
    [bmp, "0 x 0"],
  ] as const) {
    expect(await whyUndecodable(new Blob([bytes]))).toBe(
      `The photo has no pixels, it is ${size}; choose another.`,
    );
  }
  png[19] = 1;
  for (const other of [png, png.slice(0, 12), new Uint8Array([1, 2, 3])]) {
    expect(await whyUndecodable(new Blob([other]))).toMatch(/convert it to JPEG or PNG/);
  }
});
