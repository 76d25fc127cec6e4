/**
 * Does a manifest fit together with itself and its table?
 *
 * What passes here can be replayed, on every canvas that is checked, for every tap without reading
 * outside an array.
 */

import { BundleError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import { servesCanvas, type Schedule } from "./schedule.ts";
import { makeTable, type Table } from "./table.ts";
import type { Size } from "./types.ts";
import { checkWindows } from "./windows.ts";
import type { ZoomRule } from "./zoomRule.ts";

/** Throw a `BundleError` unless every file that the manifest uses is listed in `files`. */
export function checkFilesListed(manifest: Manifest): void {
  const { tableFile, goldenFile, goldenPhoto, parityFile, programs } = manifest;
  const used = [tableFile, goldenFile, goldenPhoto, parityFile];
  for (const program of programs.values()) used.push(program.file);
  for (const path of used) {
    if (!manifest.files.has(path)) refuse(`${path} is used but not listed in files`);
  }
}

/**
 * Throw a `BundleError` unless every reference resolves and every window lies in its array.
 *
 * Of each schedule the canvas that it was planned for is checked, against the bundle's `table`,
 * and the smallest and the largest that it serves. Those between are checked when their table is
 * made: `checkedTable`.
 */
export function checkConsistency(manifest: Manifest, table: Int32Array): void {
  if (table.length !== manifest.tableCount) {
    refuse(`the table has ${table.length} numbers, not ${manifest.tableCount}`);
  }
  checkLevels(manifest);
  const seen = new Set<string>();
  for (const schedule of manifest.schedules) {
    const { height, width } = schedule.canvas;
    const identity = `${height} x ${width} ${schedule.name}`;
    if (seen.has(identity)) {
      refuse(`two schedules are named '${schedule.name}' and have the same canvas`);
    }
    seen.add(identity);
    checkSchedule(manifest, schedule);
    checkTable(schedule, table);
    const { serves } = schedule;
    checkedTable(manifest, schedule, schedule.canvas);
    checkedTable(manifest, schedule, { height: serves.height.least, width: serves.width.least });
    checkedTable(manifest, schedule, { height: serves.height.most, width: serves.width.most });
  }
  if (manifest.zoom !== null) checkZoom(manifest, manifest.zoom);
}

/**
 * The table of a schedule on a canvas that it serves, with every window checked.
 *
 * Throws a `BundleError` when a window leaves its array.
 */
export function checkedTable(manifest: Manifest, schedule: Schedule, canvas: Size): Table {
  const table = makeTable(schedule, canvas);
  checkWindows(manifest, schedule, canvas, table);
  return table;
}

function checkZoom(manifest: Manifest, zoom: ZoomRule): void {
  for (const look of [zoom.first, zoom.tile]) {
    const schedule = manifest.schedules[look];
    if (schedule === undefined) {
      refuse(`zoom uses the schedule number ${look}, of ${manifest.schedules.length}`);
    }
    if (schedule.encode.length > 0) refuse("zoom uses a schedule that encodes photos");
  }
  const { height, width } = manifest.schedules[zoom.tile]!.canvas;
  if (zoom.extent > Math.min(height, width)) {
    refuse("the extent of zoom is larger than the canvas of its tile");
  }
}

function checkLevels(manifest: Manifest): void {
  const { levels } = manifest;
  if (new Set(levels.map((level) => level.name)).size !== levels.length) {
    refuse("two levels have the same name");
  }
  if (!increases(levels.map((level) => level.stride))) {
    refuse("the levels are not ordered from the finest to the coarsest");
  }
}

/** What does not depend on the canvas. */
function checkSchedule(manifest: Manifest, schedule: Schedule): void {
  const name = `the schedule '${schedule.name}'`;
  const order = manifest.levels.map((level) => level.name);
  if (!increases(schedule.levels.map((level) => order.indexOf(level)))) {
    refuse(`the levels of ${name} are not ordered from the finest to the coarsest`);
  }
  if (schedule.keyStride % 2 !== 0 || manifest.canvasMultiple % schedule.keyStride !== 0) {
    refuse(
      `the key level of ${name} has the stride ${schedule.keyStride}, which is odd or does ` +
        `not divide the canvas multiple, ${manifest.canvasMultiple}`,
    );
  }
  if (!servesCanvas(schedule, schedule.canvas)) {
    refuse(`${name} does not serve the canvas that it was planned for`);
  }
  for (const row of schedule.rows) {
    const served = row.axis === "y" ? schedule.serves.height : schedule.serves.width;
    if (row.size * row.unit > served.least) {
      refuse(`a row of ${name} has windows larger than the smallest canvas that it serves`);
    }
  }
  checkMasks(schedule, name);
}

function checkMasks(schedule: Schedule, name: string): void {
  const names = schedule.masks.map((mask) => mask.name);
  if (new Set(names).size !== names.length) {
    refuse(`two mask alternatives of ${name} have the same name`);
  }
  const counted = schedule.macs.masks;
  if (counted.size !== names.length || !names.every((mask) => counted.has(mask))) {
    refuse(`macs.masks of ${name} does not have the names of the mask alternatives`);
  }
  if (!increases(schedule.masks.map((mask) => mask.reach ?? Infinity))) {
    refuse(`the mask alternatives of ${name} are not ordered from the smallest reach up`);
  }
}

function checkTable(schedule: Schedule, table: Int32Array): void {
  let position = schedule.tableOffset;
  for (const row of makeTable(schedule, schedule.canvas)) {
    if (!row.every((start, key) => table[position + key] === start)) {
      refuse(`the table of the schedule '${schedule.name}' is not what its rows give`);
    }
    position += row.length;
  }
}

function increases(numbers: readonly number[]): boolean {
  return numbers.every((number, i) => i === 0 || numbers[i - 1]! < number);
}

function refuse(reason: string): never {
  throw new BundleError(`The bundle contradicts itself: ${reason}; export it again.`);
}
