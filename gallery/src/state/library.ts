/** What is shown: the query, the pictures found so far, and how to find more. */

import { batch as batchSignals, computed, effect, signal, untracked } from "@preact/signals";
import * as api from "../api/images";
import type { Changes, Image, Query } from "../api/images";
import { presence } from "../api/http";
import { inWords } from "../api/problem";
import { listen } from "../api/windows";

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

/** What was changed here and is not processed yet: shown as it is going to be. */
const promises = new Map<number, { version: number; changes: Changes }>();

let cursor: string | null = null;
// Whatever is still on its way for another query is not wanted when it comes.
let generation = 0;
let included: number | null = null;

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

/** From the first page on. */
export function reload(): void {
  generation++;
  cursor = null;
  included = null;
  batchSignals(() => {
    images.value = [];
    total.value = { count: 0, isExact: true };
    hasMore.value = true;
    isLoading.value = false;
    isByTitle.value = false;
    trouble.value = null;
  });
  void loadMore();
}

export async function loadMore(): Promise<void> {
  if (isLoading.value || !hasMore.value || presence.value !== "in") return;
  const mine = generation;
  isLoading.value = true;
  try {
    refreshedAt = Date.now();
    let page = await api.list(query.value, cursor, isByTitle.value);
    if (mine !== generation) return;
    if (query.value.q && cursor === null && !page.images.length && !isByTitle.value) {
      page = await api.list(query.value, null, true);
      if (mine !== generation) return;
      isByTitle.value = page.images.length > 0;
    }
    cursor = page.cursor;
    batchSignals(() => {
      // What came in by itself meanwhile has its place here.
      const found = new Set(page.images.map((image) => image.id));
      images.value = [...images.value.filter((image) => !found.has(image.id)), ...page.images.map(asPromised)];
      total.value = { count: page.total, isExact: page.isTotalExact };
      hasMore.value = page.cursor !== null;
      trouble.value = null;
    });
  } catch (error) {
    if (mine === generation) trouble.value = inWords(error);
  } finally {
    if (mine === generation) isLoading.value = false;
  }
}

/** What has become of the first page, and of these further down, without a step away from where one is. */
async function refresh(ids: number[] = []): Promise<void> {
  if (presence.value !== "in" || isLoading.value || trouble.value !== null) return;
  const mine = generation;
  refreshedAt = Date.now();
  try {
    const page = await api.list(query.value, null, isByTitle.value);
    const found = new Set(page.images.map((image) => image.id));
    const further = ids.filter((id) => !found.has(id)).slice(0, 100);
    const there = further.length ? await api.byIds(further, query.value.trashed) : [];
    if (mine !== generation) return;
    const last = images.value.findLastIndex((image) => found.has(image.id));
    // Where so much is new that both no longer meet, what lies between is loaded again.
    const hasTail = last >= 0 && page.cursor !== null;
    const kept = images.value.slice(last + 1).filter((image) => hasTail || image.id === included);
    batchSignals(() => {
      images.value = [...page.images.map(asPromised), ...kept];
      const thereIds = new Set(there.map((image) => image.id));
      put(there, further.filter((id) => !thereIds.has(id)));
      total.value = { count: page.total, isExact: page.isTotalExact };
      if (hasTail && kept.length) return;
      cursor = page.cursor;
      hasMore.value = cursor !== null;
    });
  } catch {
    // The next look may come through.
  }
}

const REFRESH_AT_MOST_EVERY_MS = 3000;
const HEARD_AFTER_MS = 500;
let refreshedAt = 0;
/** What another window has changed, and this one has not looked at yet. */
const told = new Set<number>();
let isAboutToLook = false;

function refreshTold(): Promise<void> {
  const ids = [...told];
  told.clear();
  return refresh(ids);
}

function refreshSeldom(): void {
  const isDue = told.size > 0 || Date.now() - refreshedAt > REFRESH_AT_MOST_EVERY_MS;
  if (!document.hidden && isDue) void refreshTold();
}

function hear(ids: number[]): void {
  for (const id of ids) told.add(id);
  if (isAboutToLook || document.hidden) return;
  isAboutToLook = true;
  // Of many changes in a row, one look.
  setTimeout(() => void refreshTold().finally(() => (isAboutToLook = false)), HEARD_AFTER_MS);
}

/** `changes` were accepted as this version; the API shows them once they are processed. */
export function promise(id: number, version: number, changes: Changes): void {
  promises.set(id, { version, changes: { ...promises.get(id)?.changes, ...changes } });
  put(images.value.filter((image) => image.id === id).map((image) => ({ ...image, version, status: "processing" })));
}

function asPromised(image: Image): Image {
  const promised = promises.get(image.id);
  if (!promised) return image;
  if (image.status !== "processing" && image.version >= promised.version) {
    promises.delete(image.id);
    return image;
  }
  const { title, description, tags, visibility } = promised.changes;
  return {
    ...image,
    status: "processing",
    title: title ?? image.title,
    description: description ?? image.description,
    tags: tags ?? image.tags,
    visibility: visibility ?? image.visibility,
    // Until then the link is one that ends.
    rendition_url: visibility === "public" && image.visibility !== "public" ? null : image.rendition_url,
  };
}

/** Shows what these have become; those that are gone, or are hidden by the trash, go. */
export function put(changed: Image[], gone: Iterable<number> = []): void {
  const byId = new Map(changed.map((image) => [image.id, asPromised(image)]));
  const leaving = new Set(gone);
  const isHere = (image: Image) =>
    !leaving.has(image.id) && (image.trashed_at !== null) === query.value.trashed;
  const before = images.value.length;
  images.value = images.value.map((image) => byId.get(image.id) ?? image).filter(isHere);
  const lost = before - images.value.length;
  if (lost) total.value = { ...total.value, count: Math.max(0, total.value.count - lost) };
}

/** New pictures come first, where they belong there; of several the one with the highest id. */
export function add(fresh: Image[]): void {
  const known = new Set(images.value.map((image) => image.id));
  put(fresh.filter((image) => known.has(image.id)));
  if (hidesNew.value) return;
  const added = fresh.filter((image) => !known.has(image.id)).toSorted((one, other) => other.id - one.id);
  if (!added.length) return;
  images.value = [...added.map(asPromised), ...images.value];
  total.value = { ...total.value, count: total.value.count + added.length };
}

/** One that is further down, or would not be found: last, until its page is there. */
export async function include(id: number): Promise<void> {
  const image = await api.get(id);
  included = id;
  if (images.value.every((each) => each.id !== id)) images.value = [...images.value, image];
  put([image]);
}

const LOOK_EVERY_MS = 1000;
let watching: ReturnType<typeof setTimeout> | null = null;

/** As long as something is being processed, asks for it again, all at once. */
async function watch(): Promise<void> {
  watching = null;
  const ids = images.value.filter((image) => image.status === "processing").map((image) => image.id);
  if (ids.length && presence.value === "in") {
    try {
      put(await api.byIds(ids.slice(0, 100), query.value.trashed));
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

export function start(): void {
  effect(() => {
    void query.value;
    const isIn = presence.value === "in";
    // What loading looks at is no reason to load again.
    untracked(() => {
      if (isIn) reload();
      else images.value = [];
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
    else if (hiddenAt && Date.now() - hiddenAt > 20 * 60_000) reload();
    else refreshSeldom();
  });
  addEventListener("focus", refreshSeldom);
  listen(hear);
}
