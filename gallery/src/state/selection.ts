import { computed, signal } from "@preact/signals";
import { images } from "./library";
import { isMine } from "./me";

const chosen = signal<ReadonlySet<number>>(new Set());
let last: number | null = null;

/** Those that are selected and still shown: one's own, as nothing can be done with others'. */
export const selected = computed(() => images.value.filter((image) => chosen.value.has(image.id)));
export const isSelecting = computed(() => selected.value.length > 0);

export const isSelected = (id: number) => chosen.value.has(id);

/** With `isRange`, also all between this one and the one before. */
export function toggle(id: number, isRange = false): void {
  const next = new Set(chosen.value);
  const wanted = !next.has(id);
  for (const each of isRange ? between(last, id) : [id]) {
    if (wanted) next.add(each);
    else next.delete(each);
  }
  last = id;
  chosen.value = next;
}

export function selectAll(): void {
  chosen.value = new Set(images.value.filter(isMine).map((image) => image.id));
}

export function clear(): void {
  chosen.value = new Set();
  last = null;
}

function between(from: number | null, to: number): number[] {
  const ids = images.value.filter(isMine).map((image) => image.id);
  const start = from === null ? -1 : ids.indexOf(from);
  const end = ids.indexOf(to);
  if (start < 0 || end < 0) return [to];
  return ids.slice(Math.min(start, end), Math.max(start, end) + 1);
}
