/** Where the focus goes when what had it is no longer there: never to nowhere. */

import * as library from "../state/library";

let last: Element | null = null;
/** The place in the grid at which somebody goes on. */
let place = -1;

const pictureOf = (element: Element | null) => element?.closest(".tile")?.querySelector<HTMLElement>(".picture") ?? null;
const placeOf = (id: number) => library.images.value.findIndex((image) => image.id === id);

/** After what is done to these, at the one that takes the place of the first. */
export function goOnAfter(targets: { id: number }[]): void {
  const first = targets[0];
  if (first) place = placeOf(first.id);
}

/** `onBox`: on the box that selects it, if it has one. */
export function focusOnTile(id: number, onBox = false): boolean {
  const picture = document.querySelector<HTMLElement>(`.picture[data-id="${id}"]`);
  const box = onBox ? picture?.closest(".tile")?.querySelector<HTMLElement>("input") : null;
  (box ?? picture)?.focus();
  picture?.scrollIntoView({ block: "nearest" });
  return picture !== null;
}

/** On a picture, the one that has its place now, or else the page's main part. */
export function goOn(): void {
  const images = library.images.value;
  const next = images[Math.min(place, images.length - 1)];
  if (next && focusOnTile(next.id)) return;
  const start = document.querySelector<HTMLElement>("[autofocus]") ?? document.getElementById("pictures");
  start?.focus({ preventScroll: true });
}

export function start(): void {
  document.addEventListener("focusin", (event) => {
    last = event.target as Element;
    const picture = pictureOf(last);
    if (picture) place = placeOf(Number(picture.dataset["id"]));
  });
  new MutationObserver(() => {
    if (!last || last.isConnected || document.activeElement !== document.body) return;
    // A tile that was scrolled away leaves the browser's own mark from which Tab goes on.
    const isScrolledAway = last.matches(".picture") && placeOf(Number((last as HTMLElement).dataset["id"])) >= 0;
    last = null;
    if (isScrolledAway) return;
    const layer = [...document.querySelectorAll<HTMLElement>("dialog[open]")].at(-1)
      ?? document.querySelector<HTMLElement>(".panel") ?? document.querySelector<HTMLElement>(".pswp");
    if (layer) layer.focus();
    else goOn();
  }).observe(document.getElementById("gallery")!, { childList: true, subtree: true });
}
