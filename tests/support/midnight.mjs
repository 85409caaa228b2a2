// Keeps a test from crossing the end of a UTC day, at which the usage of a key begins again.

import { setTimeout } from "node:timers/promises";

const DAY_MS = 86_400_000;

/** Time that most tests of one file take, in milliseconds. */
const NEEDED_MS = 60_000;

/** Waits for the next day if this one ends soon. */
export async function awaitRoomInDay() {
  const leftMs = DAY_MS - (Date.now() % DAY_MS);
  if (leftMs < NEEDED_MS) await setTimeout(leftMs + 1_000);
}
