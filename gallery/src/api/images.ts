/** What the page asks of images and accounts. */

import type { components, operations } from "./schema";
import { words } from "../words";
import { Problem } from "./problem";
import { moment, readAt } from "./ordering";
import { tell } from "./otherWindows";
import { dropToken, fetchJson, keepToken, newKey, request } from "./http";

type Schemas = components["schemas"];

export type Image = Schemas["ImageView"];
export type Visibility = Image["visibility"];
export type Changes = Schemas["Changes"];
export type Fit = NonNullable<Changes["fit"]>;
export type Wish = { changes: Changes } | { delete: true };
export type Account = Schemas["Profile"];
export type BatchResult = Schemas["BatchResult"];
export type PastChange = Schemas["ChangeView"];
export type Sort = NonNullable<operations["listImages"]["parameters"]["query"]>["sort"] & string;

export interface Query {
  q: string;
  owner: "me" | "";
  tag: string;
  visibility: Visibility | "";
  contentType: string;
  createdAfter: string;
  createdBefore: string;
  trashed: boolean;
  sort: Sort;
}

export interface Page {
  images: Image[];
  total: number;
  isTotalExact: boolean;
  cursor: string | null;
  /** The moment in which it began to be read. */
  begun: number;
}

export async function enter(how: "login" | "register", username: string, password: string): Promise<void> {
  keepToken(
    await fetchJson("POST", `auth/${how}`, { json: { username, password, cookie: true }, isAnonymous: true }),
  );
}

export async function signOut(): Promise<void> {
  dropToken();
  await request("POST", "auth/logout", { json: { cookie: true }, isAnonymous: true });
}

export const account = () => fetchJson<Account>("GET", "auth/me");

export async function changePassword(current: string, fresh: string): Promise<void> {
  keepToken(
    await fetchJson("PUT", "auth/password", {
      json: { current_password: current, new_password: fresh, cookie: true },
    }),
  );
}

export async function deleteAccount(password: string): Promise<void> {
  await request("POST", "auth/delete_account", { json: { password } });
  dropToken();
}

/** `byTitle`: where the words that are sought are no whole words, as part of a title. */
export async function list(query: Query, cursor: string | null, byTitle = false): Promise<Page> {
  const params = new URLSearchParams({ limit: "100" });
  const given = {
    [byTitle ? "title" : "q"]: query.q,
    owner: query.trashed ? "" : query.owner,
    visibility: query.visibility,
    content_type: query.contentType,
    created_after: startOfDay(query.createdAfter, 0),
    created_before: startOfDay(query.createdBefore, 1),
    trashed: query.trashed ? "true" : "",
    sort: query.sort === "-created_at" ? "" : query.sort,
    cursor: cursor ?? "",
  };
  for (const [name, value] of Object.entries(given)) if (value) params.set(name, value);
  for (const tag of tagsOf(query.tag)) params.append("tag", tag);
  const begun = moment();
  const response = await request("GET", "image/get_all_images", { query: params });
  const images = readAt(begun, (await response.json()) as Image[]);
  const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get("Link") ?? "");
  return {
    images,
    total: Number(response.headers.get("X-Total-Count") ?? images.length),
    isTotalExact: response.headers.get("X-Total-Count-Relation") !== "at-least",
    cursor: next?.[1] ? new URL(next[1], document.baseURI).searchParams.get("cursor") : null,
    begun,
  };
}

/** Page by page. */
export async function* pages(query: Query, byTitle = false): AsyncGenerator<Page> {
  let cursor: string | null = null;
  do {
    const page: Page = await list(query, cursor, byTitle);
    yield page;
    cursor = page.cursor;
  } while (cursor !== null);
}

/** Those of these that are still there, in the trash or out of it, in no order; `ids` at most 100. */
export async function byIds(ids: number[], trashed = false): Promise<Image[]> {
  const begun = moment();
  const query = new URLSearchParams({ ids: ids.join(","), limit: "100", trashed: String(trashed) });
  return readAt(begun, await fetchJson<Image[]>("GET", "image/get_all_images", { query }));
}

export async function get(id: number): Promise<Image> {
  const begun = moment();
  const image = await fetchJson<Image>("GET", `image/${id}`);
  readAt(begun, [image]);
  return image;
}

/** What somebody writes is separated by commas, wherever tags are written; in quotes one may have some itself. */
export function tagsOf(text: string): string[] {
  const written = [...text.matchAll(/\s*"([^"]+)"\s*(?=,|$)|[^,]+/g)];
  return [...new Set(written.map(([all, quoted]) => (quoted ?? all).trim()).filter(Boolean))];
}

/** As somebody would write it. */
export const writtenTag = (tag: string) => (tag.includes(",") ? `"${tag}"` : tag);

export const tags = () => fetchJson<{ tag: string; images: number }[]>("GET", "image/tags", { query: new URLSearchParams({ limit: "100" }) });

export const history = (id: number) => fetchJson<PastChange[]>("GET", `image/${id}/history`);

export async function update(id: number, changes: Changes, version?: number): Promise<{ version: number }> {
  const headers: Record<string, string> = { "Idempotency-Key": newKey() };
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  const accepted = await fetchJson<{ version: number }>("PUT", `image/update/${id}`, { json: changes, headers });
  tell([id]);
  return accepted;
}

/** Of at most 100 images. */
export async function batch(ids: number[], wish: Wish): Promise<BatchResult[]> {
  try {
    const answer = await fetchJson<{ results: BatchResult[] }>("POST", "image/batch", {
      json: { ids, ...wish },
      headers: { "Idempotency-Key": newKey() },
    });
    return answer.results;
  } finally {
    // Where the answer was lost, it may be done all the same.
    tell(ids);
  }
}

/** What is served, in full size, as it is now; straight from the storage. */
export async function fullSize(id: number): Promise<{ image: Image; file: Blob }> {
  const image = await get(id);
  if (image.url === null) throw new Problem(409, "not_ready", image.error ?? words.grid.processing);
  // What a picture element was sent may lie in the cache without the right to be read.
  const response = await fetch(image.url, { cache: "reload" }).catch(() => {
    throw Problem.unreachable();
  });
  if (!response.ok) throw new Problem(response.status, "storage", words.trouble.unknown);
  return { image, file: await response.blob() };
}

/** Where the API sends whoever asks: followed, and left there without reading on. */
export async function originalUrl(id: number): Promise<string> {
  const response = await request("GET", `image/${id}/original`, { follows: true });
  void response.body?.cancel();
  return response.url;
}

function startOfDay(day: string, later: number): string {
  if (!day) return "";
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year!, month! - 1, date! + later).toISOString();
}
