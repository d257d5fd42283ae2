/** Edits of a picture: one after the other, and never over what somebody else has written. */

import { signal } from "@preact/signals";
import { pause } from "../api/http";
import * as api from "../api/images";
import type { Changes, Image } from "../api/images";
import { Problem } from "../api/problem";
import { words } from "../words";
import type { Change } from "./pendingChanges";
import * as library from "./library";
import { inTurn } from "./sequencing";

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

/** Whether `changes` are there now; false where what somebody else has written was to stay.
 *
 * `seen`: the picture as it was when its owner began to write.
 */
export function edit(seen: Image, changes: Changes): Promise<boolean> {
  const first = library.begin([seen.id], { changes });
  return inTurn([seen.id], () => send(seen, changes, first));
}

async function send(seen: Image, changes: Changes, first: Change): Promise<boolean> {
  for (let looked = seen, mine = first; ; mine = library.begin([seen.id], { changes })) {
    const version = newest(looked);
    try {
      const accepted = await api.update(seen.id, changes, version);
      follow(seen.id, version, accepted.version);
      library.accept(mine, [seen.id], accepted.version);
      return true;
    } catch (error) {
      library.withdraw(mine, [seen.id]);
      if (!(error instanceof Problem) || error.code !== "precondition_failed") {
        // It may be done all the same: nobody has answered.
        void library.look([seen.id]);
        throw error;
      }
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
