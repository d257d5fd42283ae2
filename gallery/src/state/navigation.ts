/** Where somebody is, kept in the page's address: Back, a reload and a bookmark lead there. */

import { batch, effect, signal, untracked } from "@preact/signals";
import type { Query } from "../api/images";
import { words } from "../words";
import * as library from "./library";
import { everything } from "./library";

/** The picture that is looked at, and whether its details are shown. */
export const viewed = signal<number | null>(null);
export const isDetailed = signal(false);

const PICTURE = "picture";
const DETAILS = "details";

interface Mark {
  /** How many entries of the history were added when what is open now was opened. */
  added: number;
}

let isGoingBack = false;

export function view(id: number | null, withDetails = false): void {
  batch(() => {
    viewed.value = id;
    isDetailed.value = id !== null && withDetails;
  });
}

/** Nothing filtered, nothing open. */
export function leave(): void {
  batch(() => {
    view(null);
    library.query.value = everything;
  });
}

export function start(): void {
  read();
  history.replaceState(history.state, "", urlOf(written()));
  effect(() => {
    const now = written();
    untracked(() => record(now));
  });
  addEventListener("popstate", () => {
    // Once back where it was opened from, what has happened meanwhile is recorded.
    if (isGoingBack) {
      isGoingBack = false;
      record(written());
    } else read();
  });
}

function written(): string {
  const params = new URLSearchParams();
  for (const name of names) {
    if (library.query.value[name] !== everything[name]) params.set(name, String(library.query.value[name]));
  }
  if (viewed.value !== null) params.set(PICTURE, String(viewed.value));
  if (isDetailed.value) params.set(DETAILS, "yes");
  return params.size ? `?${params}` : "";
}

function read(): void {
  const params = new URLSearchParams(location.search);
  batch(() => {
    const query = queryIn(params);
    if (names.some((name) => query[name] !== library.query.value[name])) library.query.value = query;
    view(Number(params.get(PICTURE)) || null, params.has(DETAILS));
  });
}

function record(now: string): void {
  if (isGoingBack || now === location.search) return;
  const [before, after] = [new URLSearchParams(location.search), new URLSearchParams(now)];
  const added = (history.state as Mark | null)?.added ?? 0;
  const deeper = depthOf(after) - depthOf(before);
  if (deeper < 0 && added > 0) {
    isGoingBack = true;
    history.go(-Math.min(-deeper, added));
  } else if (deeper < 0 || (deeper === 0 && isAnother(before, after))) {
    history.replaceState(history.state, "", urlOf(now));
  } else {
    history.pushState({ added: deeper > 0 ? added + 1 : 0 } satisfies Mark, "", urlOf(now));
  }
}

const names = Object.keys(everything) as (keyof Query)[];
const choices: Partial<Record<keyof Query, readonly string[]>> = {
  owner: ["me", ""],
  visibility: Object.keys(words.visibility.explained),
  contentType: Object.keys(words.find.kinds),
  sort: Object.keys(words.find.sorts),
};

function queryIn(params: URLSearchParams): Query {
  const isSent = (name: keyof Query) => params.has(name) && (choices[name]?.includes(params.get(name)!) ?? true);
  const sent = names.filter(isSent).map((name) => [name, name === "trashed" || params.get(name)]);
  return { ...everything, ...(Object.fromEntries(sent) as Partial<Query>) };
}

const urlOf = (search: string) => new URL(search || ".", document.baseURI);

const depthOf = (params: URLSearchParams) => Number(params.has(PICTURE)) + Number(params.has(DETAILS));

/** The next picture takes the place of the one before, and of the words that are written the last ones count. */
const isAnother = (before: URLSearchParams, after: URLSearchParams) =>
  [PICTURE, "q"].some((name) => before.has(name) && after.has(name) && before.get(name) !== after.get(name));
