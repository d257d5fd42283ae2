/** What is changed here: shown from the moment it is asked for until a read tells what became of it.
 *
 * A read that began before the answer cannot know of the change, and one that began after it tells of
 * what is being processed still as it was. Neither shows a picture as it was before; nor does a list in
 * which such a picture is lacking take it away. What is refused is as if it had never been asked for.
 */

import { begunAt, moment } from "../api/ordering";
import type { Image, Wish } from "../api/images";

/** One request's, of one picture or many. */
export interface Change {
  readonly wish: Wish;
}

interface Step {
  change: Change;
  /** When it was accepted, and as which version, where that is told. */
  accepted: number | null;
  version: number;
}

/** Of each picture in the order in which they were asked for. */
const steps = new Map<number, Step[]>();

export function begin(ids: number[], wish: Wish): Change {
  const change = { wish };
  for (const id of ids) steps.set(id, [...(steps.get(id) ?? []), { change, accepted: null, version: 0 }]);
  return change;
}

export function accept(change: Change, ids: number[], version = 0): void {
  const now = moment();
  for (const id of ids) {
    for (const step of steps.get(id) ?? []) if (step.change === change) Object.assign(step, { accepted: now, version });
  }
}

export function withdraw(change: Change, ids: number[]): void {
  for (const id of ids) keep(id, (step) => step.change !== change);
}

/** A read that began after the answer, and found nothing left to be processed, tells what came of it. */
export function settle(read: Image): void {
  if (read.status === "processing" || !steps.has(read.id)) return;
  keep(read.id, (step) => step.accepted === null || step.accepted > begunAt(read));
}

export const isUnderWay = (id: number) => steps.has(id);

/** Whether a list that began to be read then may not know yet where it is. */
export const isUnknown = (id: number, then: number) =>
  isComing(id) || (steps.get(id) ?? []).some(({ accepted }) => accepted === null || accepted > then);

/** Whether it comes back from the trash. */
export function isComing(id: number): boolean {
  const told = (steps.get(id) ?? []).flatMap(({ change: { wish } }) =>
    "changes" in wish && wish.changes.trashed != null ? [wish.changes.trashed] : [],
  );
  return told.at(-1) === false;
}

/** As it is going to be; null where it is deleted. */
export function over(image: Image): Image | null {
  return (steps.get(image.id) ?? []).reduce<Image | null>((before, step) => before && withStep(before, step), image);
}

function withStep(image: Image, { change: { wish }, accepted, version }: Step): Image | null {
  if (!("changes" in wish)) return null;
  const { title, description, tags, visibility, trashed } = wish.changes;
  return {
    ...image,
    version: Math.max(image.version, version),
    status: accepted === null ? image.status : "processing",
    title: title ?? image.title,
    description: description ?? image.description,
    tags: tags ?? image.tags,
    visibility: visibility ?? image.visibility,
    trashed_at: trashed == null ? image.trashed_at : trashed ? (image.trashed_at ?? new Date().toISOString()) : null,
    // Until then the link is one that ends.
    rendition_url: visibility === "public" && image.visibility !== "public" ? null : image.rendition_url,
  };
}

function keep(id: number, isKept: (step: Step) => boolean): void {
  const kept = (steps.get(id) ?? []).filter(isKept);
  if (kept.length) steps.set(id, kept);
  else steps.delete(id);
}
