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
