/** Files on their way: a few at a time, each sent again until it is there once. */

import { computed, signal } from "@preact/signals";
import { apiUrl, currentToken, fetchJson, newKey, pause, presence, renew } from "../api/http";
import * as api from "../api/images";
import { Problem, inWords } from "../api/problem";
import { tell } from "../api/otherWindows";
import { words } from "../words";
import * as library from "./library";
import { say } from "./notices";

// What the API takes in one request; larger files go straight to the storage.
const LARGEST_THROUGH_API_BYTES = 4_500_000;
const AT_ONCE = 3;
const ATTEMPTS = 12;
const LONGEST_PAUSE_MS = 20_000;
const GONE_AFTER = 10;
// What the API says of a file that it will not take.
const OF_THE_FILE = [400, 413, 415, 422];

export interface Upload {
  key: string;
  file: File;
  state: "waiting" | "sending" | "processing" | "ready" | "refused";
  sentBytes: number;
  imageId: number | null;
  visibility: api.Visibility;
  problem: string | null;
  /** Refused, but for no reason that lies in the file. */
  mayBeTaken: boolean;
}

export const uploads = signal<readonly Upload[]>([]);
const VISIBILITY = "gallery:visibility";

/** Whom new pictures are shown to: as chosen here before, or as the API has it. */
export const newVisibility = signal(
  (localStorage.getItem(VISIBILITY) ?? document.documentElement.dataset["visibility"]) as api.Visibility,
);

export function showNewTo(visibility: api.Visibility): void {
  localStorage.setItem(VISIBILITY, visibility);
  newVisibility.value = visibility;
}

export const isOffline = signal(!navigator.onLine);
export const summary = computed(() => {
  const counts = { waiting: 0, sending: 0, processing: 0, ready: 0, refused: 0 };
  let bytes = 0;
  let sentBytes = 0;
  for (const upload of uploads.value) {
    counts[upload.state]++;
    bytes += upload.file.size;
    sentBytes += upload.state === "waiting" || upload.state === "sending" ? upload.sentBytes : upload.file.size;
  }
  const all = uploads.value.length;
  return {
    ...counts,
    all,
    uploaded: counts.processing + counts.ready,
    share: bytes ? sentBytes / bytes : all ? 1 : 0,
    isDone: counts.waiting + counts.sending + counts.processing === 0,
  };
});

let active = 0;

export function enqueue(files: Iterable<File>): void {
  add([...files].map((file) => asNew(file, newVisibility.value)));
}

// Under a key of its own, also what was asked for before: it is another request.
const asNew = (file: File, visibility: api.Visibility): Upload => ({
  key: newKey(),
  file,
  state: "waiting",
  sentBytes: 0,
  imageId: null,
  visibility,
  problem: null,
  mayBeTaken: false,
});

function add(fresh: Upload[]): void {
  if (!fresh.length) return;
  uploads.value = summary.value.isDone ? fresh : [...uploads.value, ...fresh];
  while (active < AT_ONCE && next()) void work();
}

/** Whether it can still be kept from arriving: what has been sent as a whole may be there already. */
export const mayCancel = ({ state, file, sentBytes }: Upload) =>
  state === "waiting" || (state === "sending" && sentBytes < file.size);

/** Of these, those that have not been sent yet. */
export function cancel(targets: readonly Upload[]): void {
  const gone = targets.filter(mayCancel);
  uploads.value = uploads.value.filter((upload) => !gone.includes(upload));
  for (const { key } of gone) sending.get(key)?.abort();
  if (!gone.length) return;
  say(words.upload.cancelled(gone.length), {
    label: words.undo,
    run: () => add(gone.map(({ file, visibility }) => asNew(file, visibility))),
  });
}

export function retry(key: string): void {
  // What was refused is another request when its owner asks again.
  change(key, { state: "waiting", problem: null, sentBytes: 0, key: newKey() });
  if (active < AT_ONCE) void work();
}

export function dismiss(): void {
  if (summary.value.isDone) uploads.value = [];
}

export function start(): void {
  addEventListener("online", () => (isOffline.value = false));
  addEventListener("offline", () => (isOffline.value = true));
  addEventListener("beforeunload", (event) => {
    if (!summary.value.isDone && summary.value.waiting + summary.value.sending > 0) event.preventDefault();
  });
}

// What ends each that is being sent.
const sending = new Map<string, AbortController>();

const next = () => uploads.value.find((upload) => upload.state === "waiting");

async function work(): Promise<void> {
  active++;
  try {
    for (let upload = next(); upload; upload = next()) {
      const ending = new AbortController();
      sending.set(upload.key, ending);
      change(upload.key, { state: "sending" });
      await deliver(upload, ending.signal);
      sending.delete(upload.key);
    }
  } finally {
    active--;
  }
}

async function deliver(upload: Upload, ending: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const imageId = await sent(upload, ending);
      change(upload.key, { state: "processing", imageId, sentBytes: upload.file.size });
      tell([imageId]);
      void follow(upload.key, imageId);
      return;
    } catch (error) {
      if (ending.aborted) return;
      const mayPass = error instanceof Problem && error.mayPass && attempt < ATTEMPTS;
      if (!mayPass) {
        const mayBeTaken = !(error instanceof Problem) || !OF_THE_FILE.includes(error.status);
        change(upload.key, { state: "refused", problem: inWords(error), mayBeTaken });
        return;
      }
      change(upload.key, { sentBytes: 0 });
      await Promise.race([untilWorthIt(attempt, error), endOf(ending)]);
      if (ending.aborted) return;
    }
  }
}

const endOf = (ending: AbortSignal) =>
  new Promise<void>((resolve) => ending.addEventListener("abort", () => resolve(), { once: true }));

/** A pause that grows; offline, until the network is back, which counts for no attempt. */
async function untilWorthIt(attempt: number, problem: Problem): Promise<void> {
  const own = Math.min(500 * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
  await pause(Math.max(own, (problem.retryAfterSeconds ?? 0) * 1000));
  while (isOffline.value) await pause(500);
}

async function sent(upload: Upload, ending: AbortSignal): Promise<number> {
  const { file, key, visibility } = upload;
  const onProgress = (sentBytes: number) => change(key, { sentBytes: Math.min(sentBytes, file.size) });
  if (file.size <= LARGEST_THROUGH_API_BYTES) {
    const form = new FormData();
    form.append("visibility", visibility);
    form.append("image", file, file.name || "pasted.png");
    const answer = await post(new URL("image/upload_image", apiUrl), form, onProgress, ending, key);
    return (answer as { id: number }).id;
  }
  const offer = await fetchJson<{ upload_id: string; url: string; fields: Record<string, string> }>(
    "POST",
    "image/direct_upload",
  );
  const form = new FormData();
  for (const [name, value] of Object.entries(offer.fields)) form.append(name, value);
  form.append("file", file);
  await post(new URL(offer.url), form, onProgress, ending, null);
  const answer = await fetchJson<{ id: number }>("POST", `image/direct_upload/${offer.upload_id}`, {
    json: { filename: file.name, visibility },
    headers: { "Idempotency-Key": key },
  });
  return answer.id;
}

/** XMLHttpRequest, as fetch tells nothing of what was sent. `key` null: to the storage. */
async function post(
  url: URL,
  form: FormData,
  onProgress: (sentBytes: number) => void,
  ending: AbortSignal,
  key: string | null,
): Promise<unknown> {
  const token = key === null ? null : await currentToken();
  ending.throwIfAborted();
  const request = new XMLHttpRequest();
  const answer = new Promise<unknown>((resolve, reject) => {
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onerror = () => reject(Problem.unreachable());
    request.onabort = () => reject(Problem.unreachable());
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status < 300) resolve(body);
      else reject(Problem.of(request.status, body, (name) => request.getResponseHeader(name)));
    };
  });
  request.open("POST", url);
  if (key !== null) {
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    if (token !== null) request.setRequestHeader("Authorization", `Bearer ${token}`);
  }
  ending.addEventListener("abort", () => request.abort(), { once: true });
  request.send(form);
  try {
    return await answer;
  } catch (error) {
    // The token ended on the way: the next attempt has a new one.
    if (error instanceof Problem && error.status === 401 && key !== null && (await renew())) {
      throw new Problem(0, "renewed", error.message);
    }
    throw error;
  }
}

/** Until it is processed: it appears at once, and turns into a picture when it is ready. */
async function follow(key: string, imageId: number): Promise<void> {
  let missed = 0;
  for (let wait = 0; missed < GONE_AFTER; wait = Math.min(wait + 250, 3000)) {
    await pause(wait);
    if (presence.value !== "in") continue;
    let image: api.Image | null;
    try {
      image = library.images.value.find((each) => each.id === imageId) ?? (await shown(imageId));
    } catch {
      // Nobody has said what became of it.
      continue;
    }
    if (image === null) missed++;
    if (image === null || image.status === "processing") continue;
    if (image.status === "ready") change(key, { state: "ready" });
    else change(key, { state: "refused", problem: image.error });
    return;
  }
  // Deleted meanwhile, here or elsewhere: it had arrived.
  change(key, { state: "ready" });
}

// Many are followed at a time, and asked for together.
const wanted = new Map<number, ((image: Promise<api.Image | null>) => void)[]>();
let asking: ReturnType<typeof setTimeout> | null = null;

/** Null where it is not there; fails where that could not be learned. */
function shown(imageId: number): Promise<api.Image | null> {
  asking ??= setTimeout(ask, 250);
  return new Promise((resolve) => wanted.set(imageId, [...(wanted.get(imageId) ?? []), resolve]));
}

function ask(): void {
  asking = null;
  const waiting = new Map([...wanted].slice(0, 100));
  for (const id of waiting.keys()) wanted.delete(id);
  if (wanted.size) asking = setTimeout(ask, 250);
  const answer = api.byIds([...waiting.keys()]).then((found) => {
    library.add(found);
    return new Map(found.map((image) => [image.id, image]));
  });
  for (const [id, resolves] of waiting) {
    for (const resolve of resolves) resolve(answer.then((byId) => byId.get(id) ?? null));
  }
}

function change(key: string, fields: Partial<Upload>): void {
  uploads.value = uploads.value.map((upload) => (upload.key === key ? { ...upload, ...fields } : upload));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
