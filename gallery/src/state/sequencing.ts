/** Changes of the same picture go one after the other, in the order in which they were asked for. */

const ends = new Map<number, Promise<unknown>>();

export function inTurn<T>(ids: number[], change: () => Promise<T>): Promise<T> {
  const mine = Promise.all(ids.map((id) => ends.get(id))).then(change);
  // Whoever comes next waits for this one, and does not fall with it.
  const end = mine
    .catch(() => undefined)
    .finally(() => {
      for (const id of ids) if (ends.get(id) === end) ends.delete(id);
    });
  for (const id of ids) ends.set(id, end);
  return mine;
}

export function start(): void {
  addEventListener("beforeunload", (event) => {
    if (ends.size) event.preventDefault();
  });
}
