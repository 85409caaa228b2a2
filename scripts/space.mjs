// Shows how much room file systems have, and how much of it a command took.

import { existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { dim } from "./steps.mjs";

export const BYTES_PER_MB = 1_000_000;

/** Returns the one of these folders whose file system has the most room: the first of equals. */
export const roomiest = (folders) =>
  folders.reduce((best, folder) =>
    roomOf(folder).freeBytes > roomOf(best).freeBytes ? folder : best,
  );

/**
 * Returns `{ freeBytes, totalBytes, freeFiles }` of the file system that a folder is on, or will be
 * on.
 */
export function roomOf(folder) {
  // Not `bfree`: some of that is for root alone.
  const { bavail, blocks, bsize, ffree } = statfsSync(existing(folder));
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: ffree };
}

/** Returns lists of these items, one for each file system that `folderOf` an item is on. */
export function byFileSystem(items, folderOf = (item) => item) {
  const systems = new Map();
  for (const item of items) {
    const { dev } = statSync(existing(folderOf(item)));
    systems.set(dev, [...(systems.get(dev) ?? []), item]);
  }
  return [...systems.values()];
}

/** Returns the folder, or the nearest one above it that exists. */
export function existing(folder) {
  return existsSync(folder) ? folder : existing(dirname(folder));
}

/**
 * Prints the room of the folders' file systems now. Returns a function that prints it again, and
 * when it was least. Both go past `silence`: where no room is left, the log has to show it.
 */
export function watchRoom(folders) {
  const startedMs = performance.now();
  const systems = byFileSystem(folders).map((folders) => {
    const first = roomOf(folders[0]);
    return { folders, first, least: first, leastMs: startedMs };
  });
  const look = () => {
    for (const system of systems) {
      const room = roomOf(system.folders[0]);
      if (room.freeBytes < system.least.freeBytes)
        Object.assign(system, { least: room, leastMs: performance.now() });
    }
  };
  for (const { folders, first } of systems) print(`${folders.join(", ")}: ${inWords(first)}`);
  const timer = setInterval(look, POLL_MS).unref();
  return () => {
    clearInterval(timer);
    look();
    for (const { folders, first, least, leastMs } of systems) {
      const used = first.freeBytes - least.freeBytes;
      print(
        `${folders.join(", ")}: ${inWords(roomOf(folders[0]))}; ` +
          `least ${gigabytes(least.freeBytes)} after ${((leastMs - startedMs) / 1000).toFixed(0)} s, ` +
          `${gigabytes(used)} less than at the start`,
      );
    }
  };
}

/** Large files are written in seconds. One look takes some microseconds. */
const POLL_MS = 1_000;

const inWords = ({ freeBytes, totalBytes, freeFiles }) =>
  `${gigabytes(freeBytes)} of ${gigabytes(totalBytes)} free` +
  // A file system without a bound on files has zero of them.
  (freeFiles > 0 && freeFiles < FEW_FILES ? `, ${freeFiles} files` : "");

/** A run makes 200,000 (measured). A file system can run out of them, too. */
const FEW_FILES = 1_000_000;

export const gigabytes = (bytes) => `${(bytes / (1_000 * BYTES_PER_MB)).toFixed(1)} GB`;

const print = (line) => process.stderr.write(`${dim(`· Room on ${line}`)}\n`);
