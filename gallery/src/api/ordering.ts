/** In which order reads were begun and changes answered: what was read says nothing of what came later. */

let last = 0;
const begun = new WeakMap<object, number>();

export const moment = () => ++last;

/** What a read that began then has told. */
export function readAt<T extends object>(then: number, told: T[]): T[] {
  for (const each of told) begun.set(each, then);
  return told;
}

export const begunAt = (told: object) => begun.get(told) ?? 0;
