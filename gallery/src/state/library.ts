/** What is shown: the query, the pictures found so far, and how to find more. */

import { batch as batchSignals, computed, effect, signal, untracked } from "@preact/signals";
import * as api from "../api/images";
import type { Image, Page, Query, Wish } from "../api/images";
import { presence } from "../api/http";
import { begunAt, moment } from "../api/ordering";
import { inWords } from "../api/problem";
import { listen } from "../api/otherWindows";
import * as pendingChanges from "./pendingChanges";
import type { Change } from "./pendingChanges";

export const everything: Query = {
  q: "",
  owner: "me",
  tag: "",
  visibility: "",
  contentType: "",
  createdAfter: "",
  createdBefore: "",
  trashed: false,
  sort: "-created_at",
};

export const query = signal<Query>(everything);
export const images = signal<Image[]>([]);
export const total = signal<{ count: number; isExact: boolean }>({ count: 0, isExact: true });
export const isLoading = signal(false);
export const trouble = signal<string | null>(null);
export const hasMore = signal(true);
/** Whether words are sought as parts of titles, as no picture has them whole. */
export const isByTitle = signal(false);
export const isFiltered = computed(() =>
  (Object.keys(everything) as (keyof Query)[]).some(
    (name) => name !== "sort" && name !== "trashed" && query.value[name] !== everything[name],
  ),
);

/** New pictures are not seen where something else was asked for. */
export const hidesNew = computed(
  () => query.value.trashed || isFiltered.value || query.value.sort !== everything.sort,
);

/** As the API has told of them, in its order; `images` are these as they are going to be. */
let found: Image[] = [];
let cursor: string | null = null;
// Whatever is still on its way for another query is not wanted when it comes.
let generation = 0;
let included: number | null = null;
/** It stays as long as it is there, though it may not be found any more. */
let lookedAt: number | null = null;

export function find(wish: Partial<Query>): void {
  query.value = { ...query.value, ...wish };
}

export function reset(): void {
  query.value = { ...everything, trashed: query.value.trashed, sort: query.value.sort };
}

/** There and back, with nothing filtered. */
export function goToTrash(): void {
  query.value = { ...everything, trashed: !query.value.trashed };
}

interface Remembered {
  found: Image[];
  /** With those of `found` that are not seen, as they go. */
  total: { count: number; isExact: boolean };
  isByTitle: boolean;
  trashed: boolean;
}

/** What was found for other queries, for when nobody can be asked; the latest last. */
const remembered = new Map<string, Remembered>();
const REMEMBERED = 20;
let listed = keyOf(everything);

function keyOf(wanted: Query) {
  return { key: JSON.stringify(wanted), trashed: wanted.trashed };
}

/** Before something else is asked for. */
function remember(): void {
  if (found.length) {
    remembered.delete(listed.key);
    const all = { ...total.value, count: total.value.count + found.length - images.value.length };
    remembered.set(listed.key, { found, total: all, isByTitle: isByTitle.value, trashed: listed.trashed });
  }
  for (const key of [...remembered.keys()].slice(0, -REMEMBERED)) remembered.delete(key);
  listed = keyOf(query.value);
}

function recall(): void {
  const before = remembered.get(listed.key);
  if (!before) return;
  found = before.found;
  show();
  total.value = { ...before.total, count: before.total.count + images.value.length - found.length };
  isByTitle.value = before.isByTitle;
}

/** Nobody has read since what became of these. */
function bringUpToDate(ids: number[]): void {
  const changed = new Set(ids);
  for (const each of remembered.values()) {
    const before = each.found.length;
    each.found = each.found.flatMap((image) => {
      if (!changed.has(image.id)) return [image];
      const now = pendingChanges.over(image);
      return now && (now.trashed_at !== null) === each.trashed ? [now] : [];
    });
    each.total = { ...each.total, count: each.total.count + each.found.length - before };
  }
}

/** From the first page on. */
function reload(): void {
  remember();
  forget();
  batchSignals(() => {
    total.value = { count: 0, isExact: true };
    hasMore.value = true;
    isLoading.value = false;
    isByTitle.value = false;
    trouble.value = null;
  });
  void loadMore();
}

function forget(): void {
  generation++;
  cursor = null;
  included = null;
  found = [];
  show();
}

/** The same from the first page on, in the place of what is shown once it is there. */
function replace(): void {
  generation++;
  cursor = null;
  batchSignals(() => {
    hasMore.value = true;
    isLoading.value = false;
  });
  void loadMore();
}

export async function loadMore(): Promise<void> {
  if (isLoading.value || !hasMore.value || presence.value !== "in") return;
  const mine = generation;
  const isFirst = cursor === null;
  isLoading.value = true;
  try {
    let page = await list(cursor, isByTitle.value);
    if (mine !== generation) return;
    if (query.value.q && isFirst && !page.images.length && !isByTitle.value) {
      page = await list(null, true);
      if (mine !== generation) return;
      isByTitle.value = page.images.length > 0;
    }
    cursor = page.cursor;
    batchSignals(() => {
      if (isFirst) takeFirst(page, false);
      else takeNext(page);
      hasMore.value = page.cursor !== null;
      trouble.value = null;
    });
  } catch (error) {
    if (mine === generation) {
      trouble.value = inWords(error);
      if (isFirst && !found.length) recall();
    }
  } finally {
    if (mine === generation) {
      isLoading.value = false;
      if (isToLook) void look();
    }
  }
}

let listedAtMs = 0;
let listBegun = 0;

function list(from: string | null, byTitle: boolean): Promise<Page> {
  listedAtMs = Date.now();
  listBegun = moment();
  return api.list(query.value, from, byTitle);
}

/** Whether a list was asked for since then: it may count what was being changed, or may not. */
export const isListedSince = (then: number) => listBegun > then;

/** Returns how many of those that were found before follow behind the page: none unless it `hasTail`. */
function takeFirst(page: Page, hasTail: boolean): number {
  const inPage = idsIn(page.images);
  const last = found.findLastIndex((image) => inPage.has(image.id));
  // By the one of the page behind which they stay: those of which the page cannot know.
  const staying = new Map<number | null, Image[]>();
  const tail: Image[] = [];
  const lacking = new Set<number>();
  let before: number | null = null;
  let uncounted = 0;
  found.forEach((image, place) => {
    if (inPage.has(image.id)) before = image.id;
    else if ((hasTail && place > last) || image.id === included) tail.push(image);
    else {
      const isNews = begunAt(image) > page.begun && asShown(image) !== null;
      if (!isNews && !mayBeLacking(image, page.begun) && image.id !== lookedAt) return;
      staying.set(before, [...(staying.get(before) ?? []), image]);
      lacking.add(image.id);
      if (isNews && !pendingChanges.isComing(image.id)) uncounted++;
    }
  });
  const behind = (id: number | null) => staying.get(id) ?? [];
  const head = page.images.map(newestIn(byIdIn(found))).flatMap((image) => [image, ...behind(image.id)]);
  take(page, [...behind(null), ...head, ...tail], lacking, uncounted);
  return tail.length;
}

function takeNext(page: Page): void {
  // What came in by itself meanwhile has its place here.
  const inPage = idsIn(page.images);
  const others = found.filter((image) => !inPage.has(image.id));
  take(page, [...others, ...page.images.map(newestIn(byIdIn(found)))], new Set(), 0);
}

/** `lacking`: those that the list has not, as far as it can know; and it has not counted so many that it cannot. */
function take(page: Page, all: Image[], lacking: ReadonlySet<number>, uncounted: number): void {
  for (const image of page.images) pendingChanges.settle(image);
  found = all;
  show();
  const inPage = idsIn(page.images);
  const shown = idsIn(images.value);
  let count = page.total + uncounted;
  for (const { id } of found) {
    const isCounted = inPage.has(id);
    const mayCount = isCounted || (!lacking.has(id) && pendingChanges.isUnknown(id, page.begun));
    if (!shown.has(id) && mayCount) count--;
    else if (shown.has(id) && !isCounted && pendingChanges.isComing(id)) count++;
  }
  total.value = { count: Math.max(0, count), isExact: page.isTotalExact };
}

/** Whether each of these is loaded. */
export function hasFound(ids: number[]): boolean {
  const known = idsIn(found);
  return ids.every((id) => known.has(id));
}

const idsIn = (some: readonly Image[]) => new Set(some.map((image) => image.id));
const byIdIn = (some: readonly Image[]) => new Map(some.map((image) => [image.id, image]));

/** Of what two reads have told, what the one that began later has. */
function newestIn(known: Map<number, Image>): (told: Image) => Image {
  return (told) => {
    const other = known.get(told.id);
    return other && other.version >= told.version && begunAt(other) > begunAt(told) ? other : told;
  };
}

/** What has become of the first page, and of these further down, without a step away from where one is. */
async function refresh(ids: number[]): Promise<void> {
  const mine = generation;
  const page = await list(null, isByTitle.value);
  const inPage = idsIn(page.images);
  const asked = new Set(lookedAt === null ? ids : [...ids, lookedAt]);
  const further = found.map((image) => image.id).filter((id) => asked.has(id) && !inPage.has(id));
  const now = further.slice(0, 100);
  const begun = moment();
  const there = now.length ? await api.byIds(now, query.value.trashed) : [];
  if (mine !== generation) return;
  // Where so much is new that both no longer meet, what lies between is loaded again.
  const hasTail = page.cursor !== null && found.some((image) => inPage.has(image.id));
  if (isLoading.value && !hasTail) return lookAgain(ids);
  if (further.length > now.length) lookAgain(further.slice(now.length));
  batchSignals(() => {
    const following = takeFirst(page, hasTail);
    putThere(now, there, begun);
    if (hasTail && following) return;
    cursor = page.cursor;
    hasMore.value = cursor !== null;
  });
}

const LOOK_AT_MOST_EVERY_MS = 3000;
const HEARD_AFTER_MS = 500;
/** What was changed, here or in another window, and was not looked at yet. */
const told = new Set<number>();
let isToLook = false;
let looking: Promise<void> | null = null;
let isAboutToLook = false;

/** At these too. What is told during a look is looked at after it, and while pages load after those. */
export function look(ids: Iterable<number> = []): Promise<void> {
  for (const id of ids) told.add(id);
  isToLook = true;
  looking ??= lookUntilSeen().finally(() => (looking = null));
  return looking;
}

async function lookUntilSeen(): Promise<void> {
  while (isToLook && presence.value === "in" && !isLoading.value && trouble.value === null) {
    isToLook = false;
    const ids = [...told];
    told.clear();
    try {
      await refresh(ids);
    } catch {
      // The next look may come through.
      for (const id of ids) told.add(id);
      return;
    }
  }
}

function lookAgain(ids: number[]): void {
  for (const id of ids) told.add(id);
  isToLook = true;
}

let lookingSoon: ReturnType<typeof setTimeout> | undefined;

/** At once where the last look was long ago, and else as soon as it was. */
function lookSeldom(): void {
  clearTimeout(lookingSoon);
  if (document.hidden) return;
  const left = listedAtMs + LOOK_AT_MOST_EVERY_MS - Date.now();
  if (told.size > 0 || left <= 0) void look();
  else lookingSoon = setTimeout(() => !document.hidden && void look(), left);
}

function hear(ids: number[]): void {
  for (const id of ids) told.add(id);
  if (isAboutToLook || document.hidden) return;
  isAboutToLook = true;
  // Of many changes in a row, one look.
  setTimeout(() => {
    isAboutToLook = false;
    void look();
  }, HEARD_AFTER_MS);
}

export function lookAt(id: number | null): void {
  lookedAt = id;
}

/** From here on these are shown as they are going to be. */
export function begin(ids: number[], wish: Wish): Change {
  return beginAll([{ ids, wish }])[0]!;
}

/** Several at once, each of its own pictures. */
export function beginAll(parts: readonly { ids: number[]; wish: Wish }[]): Change[] {
  const begun = parts.map(({ ids, wish }) => pendingChanges.begin(ids, wish));
  showCounted();
  return begun;
}

/** Of those that a change was accepted for, and as which version if it is one. */
export function accept(change: Change, ids: number[], version = 0): void {
  pendingChanges.accept(change, ids, version);
  bringUpToDate(ids);
  showCounted();
}

/** They are shown as if it had never been asked for. */
export function withdraw(change: Change, ids: number[]): void {
  pendingChanges.withdraw(change, ids);
  showCounted();
}

const isHere = (image: Image) => (image.trashed_at !== null) === query.peek().trashed;

/** Null where it is not seen, or not any more. */
export function asShown(image: Image): Image | null {
  const shown = pendingChanges.over(image);
  return shown && isHere(shown) ? shown : null;
}

/** Where a read that began then has not found it: it could not, or need not as an undo may bring it back. */
const mayBeLacking = (image: Image, begun: number) =>
  pendingChanges.isUnknown(image.id, begun) || (pendingChanges.isUnderWay(image.id) && asShown(image) === null);

function show(): void {
  images.value = found.map(asShown).filter((shown) => shown !== null);
}

/** With those that come and go. */
function showCounted(): void {
  batchSignals(() => {
    const before = images.value.length;
    show();
    const count = total.value.count + images.value.length - before;
    total.value = { ...total.value, count: Math.max(0, count) };
  });
}

/** Shows what these have become; those that are hidden by the trash go. */
export function put(now: Image[]): void {
  for (const image of now) pendingChanges.settle(image);
  const byId = byIdIn(now.map(newestIn(byIdIn(found))));
  found = found.map((image) => byId.get(image.id) ?? image);
  showCounted();
}

/** Of `ids`, those that a read which began then did not find are gone, unless it could not know of them. */
function putThere(ids: number[], there: Image[], begun: number): void {
  const lacking = new Set(ids);
  for (const { id } of there) lacking.delete(id);
  found = found.filter(
    (image) => !lacking.has(image.id) || mayBeLacking(image, begun) || begunAt(image) > begun,
  );
  put(there);
}

/** New pictures come first, where they belong there; of several the one with the highest id. */
export function add(fresh: Image[]): void {
  const known = idsIn(found);
  put(fresh.filter((image) => known.has(image.id)));
  if (hidesNew.value) return;
  const added = fresh.filter((image) => !known.has(image.id)).toSorted((one, other) => other.id - one.id);
  if (!added.length) return;
  found = [...added, ...found];
  showCounted();
}

/** One that is further down, or would not be found: last, until its page is there. */
export async function include(id: number): Promise<void> {
  const image = await api.get(id);
  included = id;
  if (found.every((each) => each.id !== id)) found = [...found, image];
  put([image]);
}

const LOOK_EVERY_MS = 1000;
let watching: ReturnType<typeof setTimeout> | null = null;

/** As long as something is being processed, asks for it again, all at once. */
async function watch(): Promise<void> {
  watching = null;
  const ids = images.value.filter((image) => image.status === "processing").map((image) => image.id);
  if (ids.length && presence.value === "in") {
    const mine = generation;
    const asked = ids.slice(0, 100);
    const begun = moment();
    try {
      const there = await api.byIds(asked, query.value.trashed);
      if (mine === generation) putThere(asked, there, begun);
    } catch {
      // The next look may come through.
    }
  }
  schedule();
}

function schedule(): void {
  if (watching === null && images.peek().some((image) => image.status === "processing")) {
    watching = setTimeout(() => void watch(), document.hidden ? 5 * LOOK_EVERY_MS : LOOK_EVERY_MS);
  }
}

const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;

export function start(): void {
  effect(() => {
    void query.value;
    const isIn = presence.value === "in";
    // What loading looks at is no reason to load again.
    untracked(() => {
      if (isIn) return reload();
      forget();
      remembered.clear();
    });
  });
  effect(() => {
    void images.value;
    untracked(schedule);
  });
  // Signed URLs end: whoever comes back to a page that lay asleep gets new ones.
  let hiddenAt = 0;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = Date.now();
    else if (hiddenAt && Date.now() - hiddenAt > 20 * 60_000) replace();
    else lookSeldom();
  });
  addEventListener("focus", lookSeldom);
  // What could not be loaded is tried again: after a pause that grows, and whenever it looks worth it.
  let pauseMs = FIRST_PAUSE_MS;
  let retrying: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    clearTimeout(retrying);
    if (trouble.value === null) {
      if (!isLoading.value) pauseMs = FIRST_PAUSE_MS;
      return;
    }
    if (isLoading.value) return;
    retrying = setTimeout(() => void loadMore(), pauseMs);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  });
  const retry = () => trouble.peek() !== null && void loadMore();
  addEventListener("online", retry);
  addEventListener("focus", retry);
  listen(hear);
}
