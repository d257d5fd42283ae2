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

export function say(text: string, action?: Notice["action"]): void {
  show({ id: ++lastId, text, isTrouble: false, ...(action ? { action } : {}) }, action ? 10_000 : 5000);
}

export function complain(text: string): void {
  show({ id: ++lastId, text, isTrouble: true }, 12_000);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

function show(notice: Notice, forMs: number): void {
  // A word in passing gives way to the next; a way back, and what went wrong, may still be wanted.
  const stays = (each: Notice) => each.text !== notice.text && (each.isTrouble || each.action !== undefined);
  notices.value = [...notices.value.filter(stays), notice].slice(-2);
  setTimeout(() => dismiss(notice.id), forMs);
}
