/** What is done to pictures, one or many, and how it is undone. */

import { pause, presence } from "../api/http";
import * as api from "../api/images";
import type { Image, Visibility, Wish } from "../api/images";
import { moment } from "../api/ordering";
import { inWords } from "../api/problem";
import { words } from "../words";
import { tell } from "../api/otherWindows";
import * as library from "./library";
import { complain, say } from "./notices";
import { clear } from "./selection";
import { inTurn } from "./sequencing";

export async function trash(targets: Image[]): Promise<void> {
  clear();
  const done = await change([{ ids: idsOf(targets), wish: { changes: { trashed: true } } }]);
  if (!done.length) return;
  say(words.selection.trashed(done.length), { label: words.undo, run: () => void bringBack(done) });
  // Whoever went after them before they were there sees them all the same.
  if (library.query.value.trashed) void library.look(done);
}

export async function restore(targets: Image[]): Promise<void> {
  clear();
  await bringBack(idsOf(targets));
}

async function bringBack(ids: number[]): Promise<void> {
  const done = await change([{ ids, wish: { changes: { trashed: false } } }]);
  if (!done.length) return;
  say(words.selection.restored(done.length));
  await untilBack(done);
  if (!library.query.value.trashed) void library.look(done);
}

const LONGEST_PAUSE_MS = 3000;

/** Going to the trash takes effect at once, and coming back once it is processed. */
async function untilBack(ids: number[]): Promise<void> {
  const awaited = new Set(ids);
  for (let wait = 0; awaited.size; wait = Math.min(wait + 250, LONGEST_PAUSE_MS)) {
    await pause(document.hidden ? 5 * wait : wait);
    if (presence.value !== "in") continue;
    const asked = [...awaited].slice(0, AT_ONCE);
    try {
      const trashed = await api.byIds(asked, true);
      library.put(trashed);
      const coming = new Set(idsOf(trashed.filter(({ status }) => status === "processing")));
      const done = asked.filter((id) => !coming.has(id));
      if (!done.length) continue;
      library.put(await api.byIds(done));
      for (const id of done) awaited.delete(id);
      // Where some come, the others may follow soon.
      wait = 0;
    } catch {
      // The next look may come through.
    }
  }
  tell(ids);
}

export async function destroy(targets: Image[]): Promise<void> {
  clear();
  const done = await change([{ ids: idsOf(targets), wish: { delete: true } }]);
  if (done.length) say(words.selection.deleted(done.length));
}

export async function setVisibility(targets: Image[], visibility: Visibility): Promise<void> {
  const done = new Set(await change([{ ids: idsOf(targets), wish: { changes: { visibility } } }]));
  if (!done.size) return;
  const back = () => {
    const before = targets.filter((each) => done.has(each.id) && now(each).visibility === visibility);
    void takeBack(alike(before, (each) => ({ visibility: each.visibility })));
  };
  say(words.selection.shared(done.size), { label: words.undo, run: back });
}

/** Each picture keeps its own. */
export async function addTags(targets: Image[], tags: string[]): Promise<void> {
  const lacking = (image: Image) => without(tags, image.tags);
  const changed = targets.filter((each) => lacking(each).length);
  const done = new Set(await change(alike(changed, (each) => ({ tags: [...each.tags, ...lacking(each)] }))));
  const count = done.size + targets.length - changed.length;
  if (!count) return;
  const back = () => {
    const tagged = changed.filter((each) => done.has(each.id));
    void takeBack(alike(tagged, (each) => ({ tags: without(now(each).tags, lacking(each)) })));
  };
  say(words.selection.tagged(count), done.size ? { label: words.undo, run: back } : undefined);
}

/** Those of `tags` that are not among these, whatever their case. */
function without(tags: readonly string[], these: readonly string[]): string[] {
  const known = new Set(these.map((each) => each.toLowerCase()));
  return tags.filter((each) => !known.has(each.toLowerCase()));
}

async function takeBack(parts: Part[]): Promise<void> {
  const done = await change(parts);
  if (done.length) say(words.selection.undone(done.length));
}

/** As it stands by now, where that is known. */
const now = (image: Image) => library.images.value.find(({ id }) => id === image.id) ?? image;

interface Part {
  ids: number[];
  wish: Wish;
}

/** Those that are changed in the same way are changed together. */
function alike(targets: Image[], changesOf: (image: Image) => api.Changes): Part[] {
  const parts = new Map<string, Part>();
  for (const each of targets) {
    const changes = changesOf(each);
    const key = JSON.stringify(changes);
    if (parts.has(key)) parts.get(key)!.ids.push(each.id);
    else parts.set(key, { ids: [each.id], wish: { changes } });
  }
  return [...parts.values()];
}

const AT_ONCE = 100;
// Of more than an account may have under way, the rest is accepted as the first are processed.
const TOO_MUCH = "too_much_under_way";
const STALLS = 60;
const STALL_MS = 1000;

/** The ids of those that were accepted; why others were refused is said, and they are as they were. */
function change(parts: Part[]): Promise<number[]> {
  const begun = moment();
  const all = parts.flatMap(({ ids }) => ids);
  const changes = library.beginAll(parts);
  const pending = parts.flatMap(({ ids }, number) => hundreds(ids).map((some) => ({ ids: some, mine: changes[number]! })));
  return inTurn(all, async () => {
    const done: number[] = [];
    const refused: api.BatchResult[] = [];
    let isLost = false;
    let stalls = 0;
    for (let next = pending.shift(); next; next = pending.shift()) {
      const { ids, mine } = next;
      try {
        const results = await api.batch(ids, mine.wish);
        const accepted = idsOf(results.filter((result) => result.status_code === 200));
        stalls = accepted.length ? 0 : stalls + 1;
        const isLater = ({ code }: api.BatchResult) => code === TOO_MUCH && stalls < STALLS;
        const later = idsOf(results.filter(isLater));
        const others = results.filter((result) => result.status_code !== 200 && !isLater(result));
        library.accept(mine, accepted);
        library.withdraw(mine, idsOf(others));
        done.push(...accepted);
        refused.push(...others);
        if (later.length) {
          pending.unshift({ ids: later, mine });
          await pause(STALL_MS);
        }
      } catch (error) {
        for (const lost of [next, ...pending.splice(0)]) library.withdraw(lost.mine, lost.ids);
        complain(inWords(error));
        isLost = true;
      }
    }
    if (refused.length) complain(words.selection.refused(refused.length, refused[0]!.detail));
    // A list that came meanwhile may have counted them; and what nobody has answered may be done.
    if (isLost || refused.length || library.isListedSince(begun) || !library.hasFound(all)) void library.look(all);
    return done;
  });
}

const hundreds = (ids: number[]) =>
  Array.from({ length: Math.ceil(ids.length / AT_ONCE) }, (_, number) =>
    ids.slice(number * AT_ONCE, (number + 1) * AT_ONCE),
  );

const idsOf = (targets: { id: number }[]) => targets.map((each) => each.id);
