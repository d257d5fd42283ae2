/** Which file of a picture is shown at which size. */

import { thumbHashToAverageRGBA, thumbHashToDataURL } from "thumbhash";
import type { Image } from "../api/images";

const WIDTHS = [320, 640, 960, 1280, 1600, 2048, 2560, 3840];
const THUMBNAIL_SIDE = 320;
const PREVIEW_SIDE = 1600;
// Between the two that are always there: for tiles on screens with many pixels.
const TILE_WIDTH = 640;

/** What a browser chooses from: renditions as wide as they are needed, or what there is. */
export function sourceSet(image: Image): string | undefined {
  if (!hasRenditions(image)) return asSet(alwaysThere(image));
  const widths = WIDTHS.filter((width) => width < image.width);
  return asSet([...widths, image.width].slice(0, WIDTHS.length).map((width) => [renditionUrl(image, width), width]));
}

/** For a tile: hardly anything that would have to be made for it, as thousands are scrolled by. */
export function tileSourceSet(image: Image): string | undefined {
  const sources = alwaysThere(image);
  if (hasRenditions(image) && image.width > TILE_WIDTH) sources.push([renditionUrl(image, TILE_WIDTH), TILE_WIDTH]);
  return asSet(sources);
}

type Source = [url: string, width: number];

const hasRenditions = (image: Image) => image.rendition_url !== null && image.status === "ready";

function alwaysThere(image: Image): Source[] {
  const longest = Math.max(image.width, image.height) || 1;
  return (
    [
      [image.thumbnail_url, THUMBNAIL_SIDE],
      [image.preview_url, PREVIEW_SIDE],
    ] as const
  ).flatMap<Source>(([url, side]) =>
    url === null ? [] : [[url, Math.max(1, Math.round(image.width * Math.min(1, side / longest)))]],
  );
}

const asSet = (sources: Source[]) => sources.map(([url, width]) => `${url} ${width}w`).join(", ") || undefined;

export function renditionUrl(image: Image, width: number): string {
  const url = new URL(image.rendition_url ?? "", document.baseURI);
  url.searchParams.set("width", String(width));
  return url.href;
}

const urls = new Map<string, string>();
const bytesOf = (placeholder: string) => Uint8Array.from(atob(placeholder), (character) => character.charCodeAt(0));

/** What a placeholder comes to from far away; costs nothing. */
export function placeholderColor(placeholder: string): string {
  const { r, g, b } = thumbHashToAverageRGBA(bytesOf(placeholder));
  return `rgb(${[r, g, b].map((share) => Math.round(255 * share)).join(" ")})`;
}

/** If it was drawn before. */
export const drawnPlaceholder = (placeholder: string) => urls.get(placeholder);

const waiting = new Map<(url: string) => void, string>();
let isDrawing = false;

/** Drawn when the page has nothing better to do, one after the other; returns how to take it back. */
export function drawPlaceholder(placeholder: string, onDrawn: (url: string) => void): () => void {
  waiting.set(onDrawn, placeholder);
  drawLater();
  return () => waiting.delete(onDrawn);
}

function drawLater(): void {
  if (isDrawing) return;
  isDrawing = true;
  whenIdle(() => {
    isDrawing = false;
    const [next] = waiting;
    if (!next) return;
    const [onDrawn, placeholder] = next;
    waiting.delete(onDrawn);
    const url = urls.get(placeholder) ?? thumbHashToDataURL(bytesOf(placeholder));
    urls.set(placeholder, url);
    onDrawn(url);
    drawLater();
  });
}

/** Safari has no idle callbacks. */
export function whenIdle(run: () => void): void {
  if (typeof requestIdleCallback === "function") requestIdleCallback(run, { timeout: 1000 });
  else setTimeout(run, 50);
}
