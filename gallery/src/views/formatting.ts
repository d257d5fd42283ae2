import type { Image } from "../api/images";
import { words } from "../words";

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

export function readableBytes(size: number): string {
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${size.toLocaleString("en", { maximumSignificantDigits: 3 })} ${UNITS[unit]}`;
}

export const dayAndTime = (time: string) =>
  new Date(time).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });

export const day = (time: string) => new Date(time).toLocaleDateString("en", { dateStyle: "medium" });

export const pixelsOf = (image: Image) => image.resolution.replace("x", " × ");

const kinds: Record<string, string> = words.find.kinds;
export const kindOf = (image: Image) => kinds[image.content_type] ?? image.content_type;

/** What it is saved as: the title, with the extension of what the file is. */
export function fileName(image: Image): string {
  const stem = image.title.replace(/(?<=.)\.(jpe?g|png|gif|webp|avif|tiff?|bmp|hei[cf])$/i, "");
  return `${stem}.${image.content_type.replace("image/", "").replace("jpeg", "jpg")}`;
}

export const asMarkup = (text: string) => text.replace(/[&"<>]/g, (found) => `&#${found.charCodeAt(0)};`);
