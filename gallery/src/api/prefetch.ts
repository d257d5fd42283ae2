/** What the page is opened with: asked for from its head, while its script is still on its way. */

// Not who, and no token: only that the cookie is worth trying when the page is opened again.
export const RETURNS = "gallery:returns";
export const RENEWAL = "auth/refresh";
// As `list` asks for it when nothing is filtered.
export const FIRST_LIST = "image/get_all_images?limit=100&owner=me";

const asked = globalThis as { opening?: Map<string, Promise<Response>> };

const urlOf = (path: string) => new URL(path, document.baseURI).href;

export function askEarly(): void {
  if (localStorage.getItem(RETURNS) === null) return;
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const renewal = fetch(RENEWAL, { method: "POST", headers, body: '{"cookie":true}', redirect: "error" });
  // Whoever takes it hears of it.
  renewal.catch(() => undefined);
  asked.opening = new Map([[urlOf(RENEWAL), renewal]]);
  if (location.search) return;
  const list = renewal.then(async (answer) => {
    if (!answer.ok) throw new Error("Nobody is signed in");
    const { access_token: token } = (await answer.clone().json()) as { access_token: string };
    return fetch(FIRST_LIST, { headers: { Accept: headers.Accept, Authorization: `Bearer ${token}` }, redirect: "error" });
  });
  asked.opening.set(urlOf(FIRST_LIST), list);
  list.catch(() => asked.opening?.delete(urlOf(FIRST_LIST)));
}

/** The answer to this request if it is under way; each is taken once. */
export function takeEarly(url: string): Promise<Response> | undefined {
  const answer = asked.opening?.get(url);
  asked.opening?.delete(url);
  return answer;
}
