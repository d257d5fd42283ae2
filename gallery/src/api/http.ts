/** Requests to the API beside which this page stands, at `/` or below a stage's path. */

import { signal } from "@preact/signals";
import { RENEWAL, RETURNS, takeEarly } from "./prefetch";
import { Problem } from "./problem";
import { words } from "../words";

export const apiUrl = new URL(".", document.baseURI);

/** Whether somebody is signed in; `unknown` until the cookie was tried. */
export const presence = signal<"unknown" | "in" | "out">("unknown");
/** Whoever was signed in is so no longer, without having asked for it. */
export const hasEnded = signal(false);

// In memory alone: what scripts can read later holds no token.
let accessToken: string | null = null;
let endsAt = 0;
let renewal: Promise<boolean> | null = null;
// Whoever has signed in or out meanwhile is not undone by an answer of before.
let session = 0;

const RENEWED_BEFORE_MS = 30_000;
const ATTEMPTS = 4;

export interface Options {
  query?: URLSearchParams;
  json?: unknown;
  headers?: Record<string, string>;
  isAnonymous?: boolean;
  /** To where the answer lies, elsewhere; a browser takes no token along. */
  follows?: boolean;
}

interface TokenAnswer {
  access_token: string;
  expires_in: number;
}

export const mayReturn = () => localStorage.getItem(RETURNS) !== null;

export function keepToken(answer: TokenAnswer): void {
  localStorage.setItem(RETURNS, "1");
  session++;
  accessToken = answer.access_token;
  endsAt = Date.now() + answer.expires_in * 1000;
  hasEnded.value = false;
  presence.value = "in";
}

export function dropToken(): void {
  localStorage.removeItem(RETURNS);
  session++;
  accessToken = null;
  presence.value = "out";
}

/** Whoever signs out in one tab has left all of them. */
addEventListener("storage", (event) => {
  if (event.key === RETURNS && event.newValue === null) dropToken();
});

/** A token that is good for the next request, or null. */
export async function currentToken(): Promise<string | null> {
  if (accessToken === null || Date.now() > endsAt - RENEWED_BEFORE_MS) await renew();
  return accessToken;
}

/** Whether the cookie gave a new token. Asked for by many at once, it is done once. */
export function renew(): Promise<boolean> {
  renewal ??= renewOnce().finally(() => {
    renewal = null;
  });
  return renewal;
}

async function renewOnce(): Promise<boolean> {
  // Signed out: the cookie may still be there for a moment.
  if (!mayReturn()) {
    dropToken();
    return false;
  }
  const mine = session;
  const response = await patiently(() => send("POST", RENEWAL, { json: { cookie: true }, isAnonymous: true }, null));
  if (mine !== session) return accessToken !== null;
  if (response.status === 401 || response.status === 400) {
    hasEnded.value = accessToken !== null;
    dropToken();
    return false;
  }
  if (!response.ok) throw await problemOf(response);
  const answer = (await response.json()) as TokenAnswer;
  if (mine === session) keepToken(answer);
  return accessToken !== null;
}

export async function request(method: string, path: string, options: Options = {}): Promise<Response> {
  const once = async () => {
    if (options.isAnonymous) return send(method, path, options, null);
    const response = await send(method, path, options, await currentToken());
    if (response.status !== 401 || !(await renew())) return response;
    return send(method, path, options, accessToken);
  };
  const isSafe = method === "GET" || options.headers?.["Idempotency-Key"] !== undefined;
  const response = isSafe ? await patiently(once) : await once();
  if (!response.ok) throw options.isAnonymous ? await problemOf(response) : ended(await problemOf(response));
  return response;
}

/** Of tokens, as the API says it, nobody has heard who signed in with a password. */
const ended = (problem: Problem) =>
  problem.status === 401 && hasEnded.value ? new Problem(401, problem.code, words.trouble.signedOut) : problem;

export async function fetchJson<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await request(method, path, options);
  return (await response.json()) as T;
}

export const newKey = () => crypto.randomUUID();

export const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

async function send(method: string, path: string, options: Options, token: string | null): Promise<Response> {
  const url = new URL(path, apiUrl);
  if (options.query) url.search = options.query.toString();
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (token !== null) headers["Authorization"] = `Bearer ${token}`;
  const init: RequestInit = { method, headers, redirect: options.follows ? "follow" : "error" };
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.json);
  }
  try {
    return await (takeEarly(url.href) ?? fetch(url, init));
  } catch {
    throw Problem.unreachable();
  }
}

async function patiently(once: () => Promise<Response>): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === ATTEMPTS;
    let wait = 300 * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
    try {
      const response = await once();
      const seconds = Number(response.headers.get("Retry-After") ?? 0);
      // The same one, sent before, may not be answered yet.
      const isUnderWay = response.status === 409 && (await codeOf(response)) === "request_in_progress";
      const mayPass = response.status === 429 || response.status >= 502 || isUnderWay;
      if (isLast || !mayPass || seconds > 10) return response;
      wait = Math.max(wait, seconds * 1000);
    } catch (error) {
      if (isLast || !(error instanceof Problem)) throw error;
    }
    await pause(wait);
  }
}

async function codeOf(response: Response): Promise<unknown> {
  const body: unknown = await response.clone().json().catch(() => null);
  return (body as { code?: unknown } | null)?.code;
}

async function problemOf(response: Response): Promise<Problem> {
  let body: unknown = null;
  try {
    body = await response.json();
  } catch {
    // A proxy in between answers in HTML, which is not for people to read.
  }
  return Problem.of(response.status, body, (name) => response.headers.get(name));
}
