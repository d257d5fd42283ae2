/** Looking at one picture: PhotoSwipe zooms, swipes and turns over; the details are ours. */

import { effect, untracked } from "@preact/signals";
import type PhotoSwipe from "photoswipe";
import type { Point } from "photoswipe";
import type { Image } from "../api/images";
import { presence } from "../api/http";
import { Problem, inWords } from "../api/problem";
import * as library from "../state/library";
import { complain, say } from "../state/notices";
import { isDetailed, view, viewed } from "../state/navigation";
import { words } from "../words";
import { isDialogOpen } from "./Dialog";
import { focusOnTile, goOn } from "./focus";
import { isBeside } from "./Panel";
import { asMarkup } from "./formatting";
import { sourceSet } from "./imageSources";

// As wide as the style sheet has them, in letters of whatever size somebody reads.
const DETAILS_REM = 26;
// The longer side of a picture that has fewer: a single pixel would not be seen.
const LEAST_PIXELS = 64;
// Within it, a second click is one half of a double click.
const DOUBLE_CLICK_MS = 400;

interface Open {
  viewer: PhotoSwipe;
  turnTo: (id: number) => void;
  shown: () => Image[];
}

let open: Open | null = null;
let isOpening = false;

let misses = 0;

/** Half of the page's script, and not needed to see the grid. */
export async function fetchViewer(): Promise<typeof import("photoswipe")> {
  try {
    return await import("photoswipe");
  } catch {
    // Many browsers keep that an import has failed: under another address it is asked for anew.
    const address = new URL(document.documentElement.dataset.viewer!, document.baseURI);
    address.hash = String(++misses);
    return (await import(address.href)) as typeof import("photoswipe");
  }
}

/** Opens and closes it as `viewed` says. */
export function start(): void {
  effect(() => {
    const id = viewed.value;
    const isKnown = library.images.value.some((image) => image.id === id);
    const isIn = presence.value === "in";
    const isComing = library.isLoading.value;
    untracked(() => {
      library.lookAt(id);
      if (id === null || !isIn) open?.viewer.close();
      else if (open && isKnown) open.turnTo(id);
      else if (isKnown) void openViewer();
      else if (!isComing) void lookUp(id);
    });
  });
}

let lookedUp: number | null = null;
const GONE = [403, 404];

/** A picture that an address names, and the first page of the library does not have. */
async function lookUp(id: number): Promise<void> {
  if (lookedUp === id) return;
  lookedUp = id;
  try {
    await library.include(id);
    if (viewed.value !== id || library.images.value.some((image) => image.id === id)) return;
    const title = titleOf(id);
    if (title) say(words.viewer.left(title));
    turnFrom(id);
  } catch (error) {
    const isGone = error instanceof Problem && GONE.includes(error.status);
    // What is looked at stays while nobody knows better.
    if (viewed.value !== id || (open && !isGone)) return;
    const title = titleOf(id);
    complain(title && isGone ? words.viewer.gone(title) : inWords(error));
    turnFrom(id);
  } finally {
    lookedUp = null;
  }
}

const titleOf = (id: number) => open?.shown().find((image) => image.id === id)?.title;

/** To the picture behind this one, or the one before, or the grid. */
export function turnFrom(id: number): void {
  const shown = open?.shown() ?? [];
  const place = shown.findIndex((image) => image.id === id);
  const known = new Set(library.images.value.map((image) => image.id));
  const isThere = (image: Image) => image.id !== id && known.has(image.id);
  const next = shown.slice(place + 1).find(isThere) ?? shown.slice(0, Math.max(0, place)).findLast(isThere);
  view(next?.id ?? null, isDetailed.value);
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
  // By place, as it was opened: what comes in meanwhile moves nothing here.
  let shown = library.images.value;
  const placeOf = (wanted: number) => shown.findIndex((image) => image.id === wanted);
  const current = () => shown[viewer.currIndex];
  const place = placeOf(viewed.value);
  // It went meanwhile; where all are loaded anew, they open it when they are there.
  if (place < 0) return library.isLoading.value ? undefined : lookUp(viewed.value);
  // By when they were made: a busy browser may handle them long after, and far apart.
  let clickedAt = performance.now();
  const isSecondClick = (click: PointerEvent) => {
    const before = clickedAt;
    clickedAt = click.timeStamp;
    return clickedAt - before < DOUBLE_CLICK_MS;
  };
  const viewer: PhotoSwipe = new found.default({
    index: place,
    dataSource: shown.map(slide),
    loop: false,
    bgOpacity: 1,
    // All but its details is out of reach meanwhile.
    trapFocus: false,
    counter: false,
    // Keys that are pressed while it opens or closes would be lost.
    showHideAnimationType: "none",
    returnFocus: false,
    wheelToZoom: true,
    initialZoomLevel: (level) => enlarged(level) || level.fit,
    secondaryZoomLevel: enlarged,
    closeTitle: words.close,
    zoomTitle: words.viewer.zoom,
    arrowPrevTitle: words.viewer.previous,
    arrowNextTitle: words.viewer.next,
    errorMsg: words.grid.failed,
    imageClickAction: (point, click) => {
      const slide = viewer.currSlide;
      if (!isSecondClick(click) && slide?.isZoomable() && slide.zoomLevels.secondary !== slide.zoomLevels.initial) {
        slide.toggleZoom(point);
      }
    },
    bgClickAction: (_point, click) => {
      if (isSecondClick(click)) return;
      if (isDetailed.value) isDetailed.value = false;
      else viewer.close();
    },
    // It stays beside its details where there is room for both.
    getViewportSizeFn: () => ({
      x: document.documentElement.clientWidth - (isDetailed.peek() && isBeside.peek() ? DETAILS_REM * remPixels() : 0),
      y: innerHeight,
    }),
  });
  open = {
    viewer,
    shown: () => shown,
    turnTo: (wanted) => {
      const place = placeOf(wanted);
      if (place < 0 || place === viewer.currIndex) return;
      viewer.goTo(place);
      catchUp(library.images.peek());
    },
  };
  let showTitle = () => {};
  let showCount = () => {};
  viewer.on("uiRegister", () => {
    viewer.ui!.registerElement({
      name: "number",
      className: "pswp__counter",
      order: 5,
      onInit: (element) => {
        showCount = () => (element.textContent = countOf(viewer.currIndex, shown.length));
        viewer.on("change", showCount);
      },
    });
    viewer.ui!.registerElement({
      name: "caption",
      order: 6,
      onInit: (element) => {
        element.dir = "auto";
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
  viewer.on("loadComplete", ({ content }) => content.element?.classList.add("see-through"));
  viewer.on("keydown", (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event.originalEvent;
    const isInside = target instanceof Element && target.closest(".panel, .notices") !== null;
    const isWriting = target instanceof Element && target.matches("input, textarea, select");
    const isOurs = !isDialogOpen() && !ctrlKey && !metaKey && !altKey;
    if (isOurs && key === "Escape" && isDetailed.value) isDetailed.value = false;
    else if (isOurs && key === "i" && !isWriting) isDetailed.value = !isDetailed.value;
    else if (isOurs && key !== "Tab" && (!isInside || (ALWAYS.includes(key) && !isWriting))) return;
    // Another layer's, or the browser's.
    event.preventDefault();
  });
  viewer.on("change", () => {
    const image = current();
    if (image) viewed.value = image.id;
    // Near the end of what is known, more is asked for.
    if (viewer.currIndex > viewer.getNumItems() - 5) void library.loadMore();
  });
  const catchUp = (now: Image[]) => {
    const current = viewer.isOpen ? shown[viewer.currIndex]?.id : undefined;
    const before = withoutGone(shown, now, current);
    const places = before.length < shown.length ? shown.length : 0;
    shown = following(before, now);
    viewer.options.dataSource = shown.map(slide);
    if (places && current !== undefined) renumber(viewer, before.findIndex((image) => image.id === current), places);
    showTitle();
    showCount();
    before.forEach((image, place) => {
      const after = shown[place]!;
      if (after !== image && viewer.isOpen && isAnother(image, after)) viewer.refreshSlideContent(place);
    });
  };
  // From here on, another may open.
  viewer.on("close", () => {
    open = null;
    setBehind(false);
    view(null);
  });
  const stops: (() => void)[] = [];
  viewer.on("destroy", () => {
    for (const stop of stops) stop();
    if (open) return;
    const image = current();
    if (!image || !focusOnTile(image.id)) goOn();
  });
  setBehind(true);
  viewer.init();
  const element = viewer.element!;
  element.setAttribute("aria-label", words.grid.label);
  element.focus();
  let wasDetailed = false;
  stops.push(
    library.images.subscribe(catchUp),
    library.total.subscribe(() => showCount()),
    effect(() => {
      const hasRoom = isBeside.value;
      element.classList.toggle("beside", isDetailed.value && hasRoom);
      // What its details cover cannot be reached.
      element.inert = isDetailed.value && !hasRoom;
      viewer.updateSize(true);
      const isLeft = wasDetailed && !isDetailed.value && !element.contains(document.activeElement);
      if (isLeft) element.querySelector<HTMLElement>(".pswp__button--details")?.focus();
      wasDetailed = isDetailed.value;
    }),
  );
}

const remPixels = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

/** Whatever is not the viewer, nor above it, is out of reach. */
function setBehind(isBehind: boolean): void {
  const behind = document.getElementById("behind");
  if (behind) behind.inert = isBehind;
}

/** What keys do beside the pictures, too, as long as nobody writes there. */
const ALWAYS = ["ArrowLeft", "ArrowRight", "Escape"];

function countOf(place: number, shown: number): string {
  const { count, isExact } = library.total.value;
  return words.viewer.count(place + 1, Math.max(count, shown), isExact);
}

/** Without those that the library has lost where it knows what is there; the one looked at stays. */
function withoutGone(shown: Image[], now: Image[], current: number | undefined): Image[] {
  if (library.isLoading.peek() || library.trouble.peek() !== null) return shown;
  const known = new Set(now.map((image) => image.id));
  const last = library.hasMore.peek()
    ? shown.findLastIndex((image) => known.has(image.id) && image.id !== current)
    : shown.length;
  return shown.filter((image, place) => known.has(image.id) || image.id === current || place > last);
}

/** Slides keep what they show, at other places. */
function renumber(viewer: PhotoSwipe, place: number, places: number): void {
  const moved = viewer.currIndex - place;
  for (let each = 0; each < places; each++) viewer.contentLoader.removeByIndex(each);
  viewer.currIndex = place;
  viewer.potentialIndex -= moved;
  viewer.mainScroll.itemHolders.forEach((holder, number) => {
    if (number !== 1) viewer.setContent(holder, place - 1 + number, true);
    else if (holder.slide) holder.slide.index = holder.slide.content.index = place;
  });
  viewer.appendHeavy();
  viewer.dispatch("change");
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

/** By how much, or 0 where it is large enough: then PhotoSwipe decides. */
function enlarged({ elementSize }: { elementSize: Point | null }): number {
  const longest = Math.max(elementSize?.x ?? 0, elementSize?.y ?? 0);
  return longest > 0 && longest < LEAST_PIXELS ? LEAST_PIXELS / longest : 0;
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
