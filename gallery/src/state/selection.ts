import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { presence } from "../api/http";
import * as api from "../api/images";
import type { Image } from "../api/images";
import { inWords } from "../api/problem";
import * as library from "./library";
import { asShown, images } from "./library";
import { isMine } from "./currentUser";
import { complain } from "./notices";

const chosen = signal<ReadonlySet<number>>(new Set());
/** Selected with all others of the same list, further down than it is loaded. */
const ahead = signal<ReadonlyMap<number, Image>>(new Map());
/** How many there are so far, while all are being selected. */
export const gathered = signal<number | null>(null);
let gathering: object | null = null;
let last: number | null = null;

/** Those that are selected and in the list: one's own, as nothing can be done with others'. */
export const selected = computed(() => {
  if (!chosen.value.size) return [];
  const isChosen = (image: Image | null): image is Image => image !== null && chosen.value.has(image.id);
  return [...images.value.filter(isChosen), ...[...ahead.value.values()].map(asShown).filter(isChosen)];
});
export const isSelecting = computed(() => selected.value.length > 0);

export const isSelected = (id: number) => chosen.value.has(id);

/** With `isRange`, also all between this one and the one before. */
export function toggle(id: number, isRange = false): void {
  gatherNoMore();
  const next = new Set(chosen.value);
  const wanted = !next.has(id);
  for (const each of isRange ? between(last, id) : [id]) {
    if (wanted) next.add(each);
    else next.delete(each);
  }
  last = id;
  chosen.value = next;
}

/** However many of them are loaded. */
export async function selectAll(): Promise<void> {
  chosen.value = new Set(idsIn(images.value.filter(isMine)));
  if (!library.hasMore.value) return gatherNoMore();
  const mine = {};
  gathering = mine;
  gathered.value = 0;
  const all = new Map<number, Image>();
  try {
    for await (const page of api.pages({ ...library.query.value, owner: "me" }, library.isByTitle.value)) {
      if (gathering !== mine) return;
      for (const image of page.images) all.set(image.id, image);
      gathered.value = all.size;
    }
    chooseToo(all);
  } catch (error) {
    if (gathering === mine) complain(inWords(error));
  } finally {
    if (gathering === mine) gatherNoMore();
  }
}

function chooseToo(all: Map<number, Image>): void {
  batch(() => {
    chosen.value = new Set([...chosen.value, ...all.keys()]);
    ahead.value = without(all, images.value);
  });
}

export function clear(): void {
  batch(() => {
    gatherNoMore();
    chosen.value = new Set();
    ahead.value = new Map();
  });
  last = null;
}

export function start(): void {
  effect(() => {
    // What lies ahead is another list's.
    void library.query.value;
    const isIn = presence.value === "in";
    untracked(() => {
      gatherNoMore();
      ahead.value = new Map();
      if (!isIn) clear();
    });
  });
  effect(() => {
    const loaded = images.value;
    if (ahead.peek().size) ahead.value = without(ahead.peek(), loaded);
  });
}

function gatherNoMore(): void {
  gathering = null;
  gathered.value = null;
}

function without(some: ReadonlyMap<number, Image>, loaded: readonly Image[]): ReadonlyMap<number, Image> {
  const left = new Map(some);
  for (const { id } of loaded) left.delete(id);
  return left.size === some.size ? some : left;
}

const idsIn = (some: readonly Image[]) => some.map((image) => image.id);

function between(from: number | null, to: number): number[] {
  const ids = idsIn(images.value.filter(isMine));
  const start = from === null ? -1 : ids.indexOf(from);
  const end = ids.indexOf(to);
  if (start < 0 || end < 0) return [to];
  return ids.slice(Math.min(start, end), Math.max(start, end) + 1);
}
