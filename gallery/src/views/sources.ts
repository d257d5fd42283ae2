/** Which file of a picture is shown at which size. */

import { thumbHashToDataURL } from "thumbhash";
import type { Image } from "../api/images";

const WIDTHS = [320, 640, 960, 1280, 1600, 2048, 2560, 3840];

/** What a browser chooses from: renditions as wide as they are needed, or what there is. */
export function sourceSet(image: Image): string | undefined {
  if (image.rendition_url !== null && image.status === "ready") {
    const widths = WIDTHS.filter((width) => width < image.width);
    return [...widths, image.width]
      .slice(0, WIDTHS.length)
      .map((width) => `${renditionUrl(image, width)} ${width}w`)
      .join(", ");
  }
  const made = [
    [image.thumbnail_url, 320],
    [image.preview_url, 1600],
  ] as const;
  const longest = Math.max(image.width, image.height) || 1;
  return made
    .filter(([url]) => url !== null)
    .map(([url, side]) => `${url} ${Math.max(1, Math.round((image.width * Math.min(1, side / longest))))}w`)
    .join(", ") || undefined;
}

export function renditionUrl(image: Image, width: number): string {
  const url = new URL(image.rendition_url ?? "", document.baseURI);
  url.searchParams.set("width", String(width));
  return url.href;
}

const urls = new Map<string, string>();

export function placeholderUrl(placeholder: string | null): string | null {
  if (placeholder === null) return null;
  let url = urls.get(placeholder);
  if (url === undefined) {
    url = thumbHashToDataURL(Uint8Array.from(atob(placeholder), (character) => character.charCodeAt(0)));
    urls.set(placeholder, url);
  }
  return url;
}
