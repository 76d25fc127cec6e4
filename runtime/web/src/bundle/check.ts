/**
 * Does a manifest fit together with itself and its table?
 *
 * What passes here can be replayed, on every canvas that is checked, for every tap without reading
 * outside an array.
 */

import { checkChoice, checkMeaning } from "../answer/check.ts";
import { contradiction } from "../errors.ts";
import { ownChoice, servesCanvas, startsOf, type Schedule, type When } from "../graph/schedule.ts";
import { checkStructure } from "../graph/structure.ts";
import { checkTracking } from "../tracking/check.ts";
import type { Manifest } from "./records.ts";

/** Throw a `BundleError` unless every file that the manifest uses is listed in `files`. */
export function checkFilesListed(manifest: Manifest): void {
  const { tableFile, goldenFile, goldenPhoto, programs } = manifest;
  const used = [tableFile, goldenFile, goldenPhoto];
  for (const program of programs.values()) used.push(program.file);
  for (const path of used) {
    if (!manifest.files.has(path)) throw contradiction(`${path} is used but not listed in files`);
  }
}

/** Throw a `BundleError` unless the strategy can do what it says with the schedules. */
export function checkStrategy({ strategy, schedules }: Manifest): void {
  const zoom = strategy.kind === "guided" ? strategy.zoom : strategy;
  const used = zoom.kind === "single" ? zoom.schedules : [zoom.first, zoom.tile];
  for (const number of used) {
    if (number >= schedules.length) {
      throw contradiction(`strategy uses the schedule number ${number}, of ${schedules.length}`);
    }
  }
  if (zoom.kind === "single") return;
  const has = (number: number, when: When) =>
    schedules[number]!.graph.phases.some((phase) => phase.when === when);
  const isGuided = strategy.kind === "guided";
  if (has(zoom.first, "photo") || (has(zoom.tile, "photo") && !isGuided)) {
    throw contradiction("the zoom uses a schedule that has a phase per photo");
  }
  if (isGuided && !has(zoom.tile, "correction")) {
    throw contradiction("the schedule of the guided look's tile has no phase per correction");
  }
  const { height, width } = schedules[zoom.tile]!.canvas;
  if (zoom.extent > Math.min(height, width)) {
    throw contradiction("the extent of the zoom is larger than the canvas of its tile");
  }
}

/**
 * Throw a `BundleError` unless every window lies in its array, and all else in a schedule fits.
 *
 * Of each schedule the canvas that it was planned for is checked, against the bundle's `table`,
 * and the smallest and the largest that it serves. Those between are checked when they are first
 * used: `checkChoice`.
 */
export function checkManifest(manifest: Manifest, table: Int32Array): void {
  const { schedules, programs, meaning, tracking } = manifest;
  if (table.length !== manifest.tableCount) {
    throw contradiction(`the table has ${table.length} numbers, not ${manifest.tableCount}`);
  }
  const seen = new Set<string>();
  for (const schedule of schedules) {
    const { height, width } = schedule.canvas;
    const identity = `${height} x ${width} ${schedule.name}`;
    if (seen.has(identity)) {
      throw contradiction(`two schedules are named '${schedule.name}' and have the same canvas`);
    }
    seen.add(identity);
    checkSchedule(manifest, schedule);
    checkStructure(schedule);
  }
  checkMeaning(meaning, schedules);
  for (const schedule of schedules) {
    checkTable(schedule, table);
    const { height, width } = schedule.serves;
    const least = { height: height.least, width: width.least };
    const most = { height: height.most, width: width.most };
    for (const canvas of [schedule.canvas, least, most]) {
      checkChoice(programs, meaning, { schedule, canvas });
    }
  }
  if (tracking !== null) checkTracking(tracking, programs);
}

/** What does not depend on the canvas. */
function checkSchedule(manifest: Manifest, schedule: Schedule): void {
  const name = `the schedule '${schedule.name}'`;
  if (schedule.keyStride % 2 !== 0 || manifest.canvasMultiple % schedule.keyStride !== 0) {
    throw contradiction(
      `the key stride of ${name}, ${schedule.keyStride}, is odd or does not divide the canvas ` +
        `multiple, ${manifest.canvasMultiple}`,
    );
  }
  if (!servesCanvas(schedule, schedule.canvas)) {
    throw contradiction(`${name} does not serve the canvas that it was planned for`);
  }
  for (const row of schedule.rows) {
    const served = row.axis === "y" ? schedule.serves.height : schedule.serves.width;
    if (row.size * row.unit > served.least) {
      throw contradiction(
        `a row of ${name} has windows larger than the smallest canvas that it serves`,
      );
    }
  }
}

function checkTable(schedule: Schedule, table: Int32Array): void {
  let position = schedule.tableOffset;
  for (const row of startsOf(ownChoice(schedule))) {
    if (!row.every((start, key) => table[position + key] === start)) {
      throw contradiction(`the table of the schedule '${schedule.name}' is not what its rows give`);
    }
    position += row.length;
  }
}
