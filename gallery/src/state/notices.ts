/** What the page says in passing; a notice may offer one thing to do. */

import { signal } from "@preact/signals";

export interface Notice {
  id: number;
  text: string;
  isTrouble: boolean;
  action?: { label: string; run: () => void };
}

export const notices = signal<Notice[]>([]);
let lastId = 0;

const WORD_MS = 5000;
const ACTION_MS = 10_000;
const TROUBLE_MS = 12_000;
const timers = new Map<number, ReturnType<typeof setTimeout>>();

export function say(text: string, action?: Notice["action"]): void {
  show({ id: ++lastId, text, isTrouble: false, ...(action ? { action } : {}) });
}

export function complain(text: string): void {
  show({ id: ++lastId, text, isTrouble: true });
}

export function dismiss(id: number): void {
  clearTimeout(timers.get(id));
  timers.delete(id);
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function act(notice: Notice): void {
  dismiss(notice.id);
  notice.action?.run();
}

/** It stays as long as somebody is at it. */
export function hold({ id }: Notice): void {
  clearTimeout(timers.get(id));
}

export function letGo(notice: Notice): void {
  clearTimeout(timers.get(notice.id));
  if (!notices.value.includes(notice)) return;
  const forMs = notice.isTrouble ? TROUBLE_MS : notice.action ? ACTION_MS : WORD_MS;
  timers.set(
    notice.id,
    setTimeout(() => dismiss(notice.id), forMs),
  );
}

/** The keys that take back what was done last do so here, too, wherever on the page somebody is. */
export function start(): void {
  addEventListener("keydown", (event) => {
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key === "z";
    const isWriting = event.target instanceof Element && event.target.matches("input:not([type=checkbox]), textarea");
    const last = notices.value.findLast((notice) => notice.action);
    if (!isUndo || isWriting || !last) return;
    event.preventDefault();
    act(last);
  });
}

function show(notice: Notice): void {
  // A word in passing gives way to the next; a way back, and what went wrong, may still be wanted.
  const stays = (each: Notice) => each.text !== notice.text && (each.isTrouble || each.action !== undefined);
  notices.value = [...notices.value.filter(stays), notice].slice(-2);
  letGo(notice);
}
