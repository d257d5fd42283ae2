/** Looking at one picture: PhotoSwipe zooms, swipes and turns over; the details are ours. */

import { effect, untracked } from "@preact/signals";
import type PhotoSwipe from "photoswipe";
import type { Image } from "../api/images";
import { presence } from "../api/http";
import { inWords } from "../api/problem";
import * as library from "../state/library";
import { complain } from "../state/notices";
import { isDetailed, view, viewed } from "../state/place";
import { words } from "../words";
import { asMarkup } from "./readable";
import { sourceSet } from "./sources";

// As wide as the style sheet has them.
const DETAILS_PIXELS = 416;

let open: { viewer: PhotoSwipe; turnTo: (id: number) => void } | null = null;
let isOpening = false;

/** Half of the page's script, and not needed to see the grid. */
export const fetchViewer = () => import("photoswipe");

/** Opens and closes it as `viewed` says. */
export function start(): void {
  effect(() => {
    const id = viewed.value;
    const isKnown = library.images.value.some((image) => image.id === id);
    const isIn = presence.value === "in";
    const isComing = library.isLoading.value;
    const wantsDetails = isDetailed.value;
    untracked(() => {
      library.lookAt(id);
      if (id === null || !isIn) open?.viewer.close();
      else if (open) {
        open.turnTo(id);
        // Of what has gone meanwhile none are shown, which nobody could close then.
        if (wantsDetails && !isKnown && !isComing) isDetailed.value = false;
      } else if (isKnown) void openViewer();
      else if (!isComing) void lookUp(id);
    });
  });
}

let lookedUp: number | null = null;

/** A picture that an address names, and the first page of the library does not have. */
async function lookUp(id: number): Promise<void> {
  if (lookedUp === id) return;
  lookedUp = id;
  try {
    await library.include(id);
    if (!library.images.value.some((image) => image.id === id)) leave(id);
  } catch (error) {
    complain(inWords(error));
    leave(id);
  } finally {
    lookedUp = null;
  }
}

/** Unless another is looked at by then. */
function leave(id: number): void {
  if (viewed.value === id) view(null);
}

async function openViewer(): Promise<void> {
  if (isOpening) return;
  isOpening = true;
  const found = await fetchViewer().catch(() => null);
  isOpening = false;
  if (!found) {
    complain(words.trouble.unreachable);
    view(null);
  }
  if (!found || viewed.value === null) return;
  // By place, as it was opened: what comes or goes in the library meanwhile moves nothing here.
  let shown = library.images.value;
  const placeOf = (wanted: number) => shown.findIndex((image) => image.id === wanted);
  const current = () => shown[viewer.currIndex];
  const place = placeOf(viewed.value);
  // It went meanwhile; where all are loaded anew, they open it when they are there.
  if (place < 0) return library.isLoading.value ? undefined : lookUp(viewed.value);
  const viewer: PhotoSwipe = new found.default({
    index: place,
    dataSource: shown.map(slide),
    loop: false,
    bgOpacity: 1,
    // The details are a dialog above it, which keeps the focus itself.
    trapFocus: false,
    // Keys that are pressed while it opens or closes would be lost.
    showHideAnimationType: "none",
    returnFocus: false,
    wheelToZoom: true,
    closeTitle: words.close,
    zoomTitle: words.viewer.zoom,
    arrowPrevTitle: words.viewer.previous,
    arrowNextTitle: words.viewer.next,
    errorMsg: words.grid.failed,
    // The picture stays beside its details where there is room for both.
    paddingFn: ({ x }) => ({ top: 0, bottom: 0, left: 0, right: isDetailed.peek() && x >= 900 ? DETAILS_PIXELS : 0 }),
  });
  open = {
    viewer,
    turnTo: (wanted) => {
      const place = placeOf(wanted);
      if (place >= 0 && place !== viewer.currIndex) viewer.goTo(place);
    },
  };
  let showTitle = () => {};
  viewer.on("uiRegister", () => {
    viewer.ui!.registerElement({
      name: "caption",
      order: 6,
      onInit: (element) => {
        showTitle = () => (element.textContent = current()?.title ?? "");
        viewer.on("change", showTitle);
        showTitle();
      },
    });
    viewer.ui!.registerElement({
      name: "details",
      order: 8,
      isButton: true,
      title: words.viewer.details,
      html: '<svg aria-hidden="true" class="pswp__icn" viewBox="0 0 32 32" width="32" height="32"><path d="M16 15v7M16 10.500v.01M16 27a11 11 0 100-22 11 11 0 000 22z" fill="none" stroke="currentColor" stroke-width="2.500" stroke-linecap="round"/></svg>',
      onClick: () => (isDetailed.value = true),
    });
  });
  viewer.on("keydown", (event) => {
    if (isDetailed.value) event.preventDefault();
    else if (event.originalEvent.key === "i") isDetailed.value = true;
  });
  viewer.on("change", () => {
    const image = current();
    if (image) viewed.value = image.id;
    // Near the end of what is known, more is asked for.
    if (viewer.currIndex > viewer.getNumItems() - 5) void library.loadMore();
  });
  const stop = library.images.subscribe((now) => {
    const before = shown;
    shown = following(before, now);
    viewer.options.dataSource = shown.map(slide);
    showTitle();
    before.forEach((image, place) => {
      const after = shown[place]!;
      if (after !== image && viewer.isOpen && isAnother(image, after)) viewer.refreshSlideContent(place);
    });
  });
  const stopFitting = isDetailed.subscribe(() => viewer.isOpen && viewer.updateSize(true));
  // From here on, another may open.
  viewer.on("close", () => {
    open = null;
    view(null);
  });
  viewer.on("destroy", () => {
    stopFitting();
    stop();
    if (open) return;
    const image = current();
    const tile = image && document.querySelector<HTMLElement>(`.picture[data-id="${image.id}"]`);
    tile?.focus();
    tile?.scrollIntoView({ block: "nearest" });
  });
  viewer.init();
  viewer.element?.setAttribute("aria-label", words.grid.label);
  viewer.element?.focus();
}
/** The same pictures in the same places, as they are now, and behind them those that were found since. */
function following(shown: Image[], now: Image[]): Image[] {
  const byId = new Map(now.map((image) => [image.id, image]));
  const known = new Set(shown.map((image) => image.id));
  const last = now.findLastIndex((image) => known.has(image.id));
  return [...shown.map((image) => byId.get(image.id) ?? image), ...(last < 0 ? [] : now.slice(last + 1))];
}

/** Other pixels; a URL that is signed anew leads to the same. */
function isAnother(before: Image, now: Image): boolean {
  return source(before).split("?")[0] !== source(now).split("?")[0];
}

function source(image: Image): string {
  return image.preview_url ?? image.url ?? image.thumbnail_url ?? "";
}

function slide(image: Image) {
  if (source(image) === "") {
    return { html: `<p class="failed">${asMarkup(image.error ?? words.grid.processing)}</p>` };
  }
  return {
    width: image.width || 1,
    height: image.height || 1,
    alt: image.description || image.title,
    src: source(image),
    srcset: sourceSet(image) ?? "",
    msrc: image.thumbnail_url ?? "",
  };
}
