/** Looking at one picture: PhotoSwipe zooms, swipes and turns over; the details are ours. */

import { signal } from "@preact/signals";
import type PhotoSwipe from "photoswipe";
import type { Image } from "../api/images";
import * as library from "../state/library";
import { complain } from "../state/notices";
import { words } from "../words";
import { sourceSet } from "./sources";

/** The picture whose details are shown. */
export const detailed = signal<number | null>(null);

// As wide as the style sheet has them.
const DETAILS_PIXELS = 416;

let open: PhotoSwipe | null = null;
let isOpening = false;

/** Half of the page's script, and not needed to see the grid. */
export const fetchViewer = () => import("photoswipe");

export async function openViewer(index: number): Promise<void> {
  if (open || isOpening) return;
  isOpening = true;
  // By place, as it was opened: what comes or goes in the library meanwhile moves nothing here.
  let shown = library.images.value;
  const found = await fetchViewer().catch(() => null);
  isOpening = false;
  if (!found) return complain(words.trouble.unreachable);
  const current = () => shown[viewer.currIndex];
  const viewer: PhotoSwipe = new found.default({
    index,
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
    paddingFn: ({ x }) => ({ top: 0, bottom: 0, left: 0, right: detailed.peek() !== null && x >= 900 ? DETAILS_PIXELS : 0 }),
  });
  open = viewer;
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
      onClick: () => showDetails(),
    });
  });
  viewer.on("keydown", (event) => {
    if (detailed.value !== null) event.preventDefault();
    else if (event.originalEvent.key === "i") showDetails();
  });
  viewer.on("change", () => {
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
  const stopFitting = detailed.subscribe(() => viewer.isOpen && viewer.updateSize(true));
  viewer.on("destroy", () => {
    stopFitting();
    stop();
    open = null;
    const image = current();
    const tile = image && document.querySelector<HTMLElement>(`.picture[data-id="${image.id}"]`);
    tile?.focus();
    tile?.scrollIntoView({ block: "nearest" });
  });
  viewer.init();
  viewer.element?.setAttribute("aria-label", words.grid.label);
  viewer.element?.focus();

  function showDetails(): void {
    const image = current();
    if (image) detailed.value = image.id;
  }
}

/** After what was looked at is gone. */
export function closeViewer(): void {
  detailed.value = null;
  open?.close();
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
  return {
    width: image.width || 1,
    height: image.height || 1,
    alt: image.description || image.title,
    src: source(image),
    srcset: sourceSet(image) ?? "",
    msrc: image.thumbnail_url ?? "",
  };
}
