/** What is shown: the query, the pictures found so far, and how to find more. */

import { batch as batchSignals, computed, effect, signal, untracked } from "@preact/signals";
import * as api from "../api/images";
import type { Changes, Image, Query } from "../api/images";
import { presence } from "../api/http";
import { inWords } from "../api/problem";

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
export const isFiltered = computed(() =>
  (Object.keys(everything) as (keyof Query)[]).some(
    (name) => name !== "sort" && name !== "trashed" && query.value[name] !== everything[name],
  ),
);

/** What was changed here and is not processed yet: shown as it is going to be. */
const promises = new Map<number, { version: number; changes: Changes }>();

let cursor: string | null = null;
// Whatever is still on its way for another query is not wanted when it comes.
let generation = 0;

export function find(wish: Partial<Query>): void {
  query.value = { ...query.value, ...wish };
}

export function reset(): void {
  query.value = { ...everything, trashed: query.value.trashed, sort: query.value.sort };
}

/** From the first page on. */
export function reload(): void {
  generation++;
  cursor = null;
  batchSignals(() => {
    images.value = [];
    total.value = { count: 0, isExact: true };
    hasMore.value = true;
    isLoading.value = false;
    trouble.value = null;
  });
  void loadMore();
}

export async function loadMore(): Promise<void> {
  if (isLoading.value || !hasMore.value || presence.value !== "in") return;
  const mine = generation;
  isLoading.value = true;
  try {
    const page = await api.list(query.value, cursor);
    if (mine !== generation) return;
    cursor = page.cursor;
    batchSignals(() => {
      // What came in by an upload meanwhile is there already.
      const known = new Set(images.value.map((image) => image.id));
      images.value = [...images.value, ...page.images.filter((image) => !known.has(image.id)).map(asPromised)];
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
  if (query.value.trashed || isFiltered.value || query.value.sort !== "-created_at") return;
  const added = fresh.filter((image) => !known.has(image.id)).toSorted((one, other) => other.id - one.id);
  if (!added.length) return;
  images.value = [...added.map(asPromised), ...images.value];
  total.value = { ...total.value, count: total.value.count + added.length };
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
  });
}
