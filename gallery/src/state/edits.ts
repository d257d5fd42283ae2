/** Edits of a picture: one after the other, and never over what somebody else has written. */

import { signal } from "@preact/signals";
import { pause } from "../api/http";
import * as api from "../api/images";
import type { Changes, Image } from "../api/images";
import { Problem } from "../api/problem";
import { words } from "../words";
import * as library from "./library";

/** Changed elsewhere meanwhile: `now` is there, and `mine` is wanted in its place. */
export interface Conflict {
  now: Image;
  mine: Changes;
  decide: (takesMine: boolean) => void;
}

export const conflicts = signal<readonly Conflict[]>([]);

/** From the version that was looked at to the newest, each change in between being this page's. */
interface Chain {
  from: number;
  to: number;
}

const chains = new Map<number, Chain>();
const queues = new Map<number, Promise<unknown>>();

/** Whether `changes` are there now; false where what somebody else has written was to stay.
 *
 * `seen`: the picture as it was when its owner began to write.
 */
export function edit(seen: Image, changes: Changes): Promise<boolean> {
  const before = queues.get(seen.id) ?? Promise.resolve();
  const mine = before.then(() => change(seen, changes));
  // Whoever comes next waits for this one, and does not fall with it.
  const end = mine
    .catch(() => undefined)
    .finally(() => {
      if (queues.get(seen.id) === end) queues.delete(seen.id);
    });
  queues.set(seen.id, end);
  return mine;
}

export function start(): void {
  addEventListener("beforeunload", (event) => {
    if (queues.size) event.preventDefault();
  });
}

async function change(seen: Image, changes: Changes): Promise<boolean> {
  for (let looked = seen; ; ) {
    const version = newest(looked);
    try {
      const accepted = await api.update(seen.id, changes, version);
      follow(seen.id, version, accepted.version);
      library.promise(seen.id, accepted.version, changes);
      return true;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "precondition_failed") throw error;
    }
    const now = await settled(seen.id);
    library.put([now]);
    const isMine = isUntouched(looked, now, changes) || (await asked(now, changes));
    if (!isMine) return false;
    looked = now;
  }
}

function newest(seen: Image): number {
  const chain = chains.get(seen.id);
  return chain && chain.from <= seen.version && seen.version <= chain.to ? chain.to : seen.version;
}

function follow(id: number, from: number, to: number): void {
  const chain = chains.get(id);
  chains.set(id, chain?.to === from ? { from: chain.from, to } : { from, to });
}

const LOOKS = 40;
const LOOK_EVERY_MS = 250;

/** What somebody has changed is shown once it is processed. */
async function settled(id: number): Promise<Image> {
  for (let look = 0; look < LOOKS; look++) {
    const image = await api.get(id);
    if (image.status !== "processing") return image;
    await pause(LOOK_EVERY_MS);
  }
  throw new Problem(412, "precondition_failed", words.conflict.underWay);
}

/** Somebody has changed something else: both changes fit. */
const isUntouched = (seen: Image, now: Image, changes: Changes) =>
  fieldsOf(changes).every((field) => JSON.stringify(seen[field]) === JSON.stringify(now[field]));

type Field = keyof Changes & keyof Image;
const fieldsOf = (changes: Changes) =>
  (["title", "description", "tags", "visibility", "resolution"] satisfies Field[]).filter(
    (field) => changes[field] !== undefined,
  );

function asked(now: Image, mine: Changes): Promise<boolean> {
  return new Promise((resolve) => {
    const conflict: Conflict = {
      now,
      mine,
      decide: (takesMine) => {
        conflicts.value = conflicts.value.filter((each) => each !== conflict);
        resolve(takesMine);
      },
    };
    conflicts.value = [...conflicts.value, conflict];
  });
}
