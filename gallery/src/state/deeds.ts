/** What is done to pictures, one or many, and how it is undone. */

import { pause } from "../api/http";
import * as api from "../api/images";
import type { Changes, Image, Visibility } from "../api/images";
import { inWords } from "../api/problem";
import { words } from "../words";
import { tell } from "../api/windows";
import * as library from "./library";
import { complain, say } from "./notices";
import { clear } from "./selection";

export async function trash(targets: Image[]): Promise<void> {
  const ids = idsOf(targets);
  library.put([], ids);
  clear();
  const done = await changeAll(ids, { trashed: true });
  showWhereTheyAre(done, true);
  if (done.length) say(words.selection.trashed(done.length), { label: words.undo, run: () => void untrash(done) });
}

export async function restore(targets: Image[]): Promise<void> {
  const ids = idsOf(targets);
  library.put([], ids);
  clear();
  const done = await changeAll(ids, { trashed: false });
  if (!done.length) return;
  say(words.selection.restored(done.length));
  await untilBack(done);
  showWhereTheyAre(done, false);
}

/** Whoever went after them before they were there sees them all the same. */
function showWhereTheyAre(ids: number[], isTrash: boolean): void {
  const shown = new Set(library.images.value.map((image) => image.id));
  if (library.query.value.trashed !== isTrash) library.put([], ids);
  else if (ids.some((id) => !shown.has(id))) library.reload();
}

async function untrash(ids: number[]): Promise<void> {
  const done = await changeAll(ids, { trashed: false });
  if (!done.length) return;
  await untilBack(done);
  say(words.selection.restored(done.length));
  library.reload();
}

const LOOKS = 40;
const LOOK_EVERY_MS = 250;

/** Going to the trash takes effect at once, and coming back once it is processed. */
async function untilBack(ids: number[]): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    const found = await api.byIds(ids.slice(0, 100)).catch(() => []);
    if (found.length >= Math.min(ids.length, 100)) return tell(ids);
    await pause(LOOK_EVERY_MS);
  }
}

export async function destroy(targets: Image[]): Promise<void> {
  const ids = idsOf(targets);
  clear();
  try {
    const results = await api.batch(ids, { delete: true });
    const done = accepted(results);
    library.put([], done);
    if (done.length) say(words.selection.deleted(done.length));
  } catch (error) {
    complain(inWords(error));
  }
}

export async function setVisibility(targets: Image[], visibility: Visibility): Promise<void> {
  const done = await changeAll(idsOf(targets), { visibility });
  if (done.length) say(words.selection.shared(done.length));
}

/** Tags are added to each picture's own: those with the same ones are changed together. */
export async function addTags(targets: Image[], tags: string[]): Promise<void> {
  const groups = new Map<string, Image[]>();
  for (const image of targets) {
    const key = JSON.stringify(image.tags);
    groups.set(key, [...(groups.get(key) ?? []), image]);
  }
  let count = 0;
  for (const group of groups.values()) {
    const there = group[0]!.tags;
    const known = new Set(there.map((each) => each.toLowerCase()));
    const lacking = tags.filter((each) => !known.has(each.toLowerCase()));
    const done = lacking.length ? await changeAll(idsOf(group), { tags: [...there, ...lacking] }) : group;
    count += done.length;
  }
  if (count) say(words.selection.tagged(count));
}

/** The ids of those that were accepted; why others were refused is said. */
async function changeAll(ids: number[], changes: Changes): Promise<number[]> {
  try {
    const results = await api.batch(ids, { changes });
    const done = accepted(results);
    const refused = results.filter((result) => result.status_code !== 200);
    if (refused.length) complain(words.selection.refused(refused.length, refused[0]!.detail ?? ""));
    if (changes.trashed === undefined) await refresh(done);
    else if (refused.length) library.reload();
    return done;
  } catch (error) {
    complain(inWords(error));
    library.reload();
    return [];
  }
}

async function refresh(ids: number[]): Promise<void> {
  for (let start = 0; start < ids.length; start += 100) {
    library.put(await api.byIds(ids.slice(start, start + 100)));
  }
}

const idsOf = (targets: Image[]) => targets.map((image) => image.id);

const accepted = (results: api.BatchResult[]) =>
  results.filter((result) => result.status_code === 200).map((result) => result.id);
