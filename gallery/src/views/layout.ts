/** Pictures in rows as wide as the page, none cut: where each one is, without drawing any. */

export interface Box {
  left: number;
  width: number;
}

export interface Row {
  /** Index of its first picture. */
  start: number;
  top: number;
  height: number;
  boxes: Box[];
}

const GAP = 6;
// A panorama or a strip keeps a size that can be seen and touched.
const NARROWEST = 0.5;
const WIDEST = 3;

export function rowsOf(sizes: { width: number; height: number }[], pageWidth: number, wantedHeight: number): Row[] {
  const rows: Row[] = [];
  let start = 0;
  let top = 0;
  let ratios: number[] = [];
  const close = (height: number) => {
    let left = 0;
    const boxes = ratios.map((ratio) => {
      const box = { left, width: ratio * height };
      left += box.width + GAP;
      return box;
    });
    rows.push({ start, top, height, boxes });
    top += height + GAP;
    start += ratios.length;
    ratios = [];
  };
  for (const { width, height } of sizes) {
    ratios.push(Math.min(WIDEST, Math.max(NARROWEST, width && height ? width / height : 1)));
    const total = ratios.reduce((sum, ratio) => sum + ratio, 0);
    const filling = (pageWidth - GAP * (ratios.length - 1)) / total;
    if (filling <= wantedHeight) close(filling);
  }
  if (ratios.length) close(wantedHeight);
  return rows;
}

export const heightOf = (rows: Row[]) => {
  const last = rows.at(-1);
  return last ? last.top + last.height : 0;
};

/** The rows that touch what lies between two heights, from the first to before the last. */
export function between(rows: Row[], from: number, to: number): [number, number] {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle]!;
    if (row.top + row.height < from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < rows.length && rows[end]!.top <= to) end++;
  return [low, end];
}
