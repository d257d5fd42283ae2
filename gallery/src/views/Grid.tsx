import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Image } from "../api/images";
import * as library from "../state/library";
import { isMine, me } from "../state/currentUser";
import { view as show } from "../state/navigation";
import { isSelected, isSelecting, toggle } from "../state/selection";
import { words } from "../words";
import { focusOnTile } from "./focus";
import { Icon } from "./Icon";
import { between, heightOf, rowsOf } from "./layout";
import type { Row } from "./layout";
import { drawnPlaceholder, drawPlaceholder, placeholderColor, tileSourceSet, whenIdle } from "./imageSources";
import { fetchViewer } from "./viewer";

// As much again above and below what is seen, so that scrolling finds it there.
const OVERSCAN = 1;
const LOAD_AHEAD_SCREENS = 3;
const VIEWER_AFTER_MS = 2000;

/** What is drawn, of which `margin` at both ends is not seen yet. */
interface View {
  from: number;
  to: number;
  margin: number;
}

export function Grid() {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [view, setView] = useState<View>({ from: 0, to: innerHeight, margin: 0 });
  const [current, setCurrent] = useState<number | null>(null);
  const images = library.images.value;
  const rows = useMemo(
    () => (width ? rowsOf(images, width, width < 600 ? 130 : 220) : []),
    [images, width],
  );
  const height = heightOf(rows);

  useLayoutEffect(() => {
    const element = frame.current!;
    // What is seen comes first.
    let overscan = 0;
    const look = () => {
      const top = element.getBoundingClientRect().top;
      const margin = overscan * innerHeight;
      // When it moves, in steps, so that not every pixel draws anew.
      const step = overscan ? innerHeight / 4 : 1;
      const from = Math.floor((-top - margin) / step) * step;
      const to = from + innerHeight + 2 * margin + step;
      setView((before) => (before.from === from && before.to === to ? before : { from, to, margin }));
    };
    const lookAhead = () => {
      if (!overscan) setTimeout(() => void fetchViewer().catch(() => undefined), VIEWER_AFTER_MS);
      overscan = OVERSCAN;
      look();
    };
    const afterFirst = (event: Event) => {
      if ((event.target as Element).matches(".placeholder")) return;
      element.removeEventListener("load", afterFirst, true);
      whenIdle(lookAhead);
    };
    const observer = new ResizeObserver(() => {
      setWidth(element.clientWidth);
      look();
    });
    observer.observe(element);
    element.addEventListener("load", afterFirst, true);
    addEventListener("scroll", lookAhead, { passive: true });
    addEventListener("resize", look);
    look();
    return () => {
      observer.disconnect();
      removeEventListener("scroll", lookAhead);
      removeEventListener("resize", look);
    };
  }, []);

  useEffect(() => {
    if (width && height - view.to < LOAD_AHEAD_SCREENS * innerHeight && library.trouble.value === null) {
      void library.loadMore();
    }
  }, [view, height, width, images]);

  const [first, end] = between(rows, view.from, view.to);
  const drawn = rows.slice(first, end);
  // Among thousands one is a stop of the Tab key, as from there the arrow keys lead to the others.
  const idsOf = (row: Row | undefined) => (row ? images.slice(row.start, row.start + row.boxes.length).map(({ id }) => id) : []);
  const isDrawn = drawn.some((row) => current !== null && idsOf(row).includes(current));
  const topmost = drawn.find((row) => row.top + row.height > view.from + view.margin);
  const stop = isDrawn ? current : idsOf(topmost)[0];
  return (
    <div class="grid" ref={frame} style={{ height: `${height}px` }} role="list" aria-label={words.grid.label}>
      {drawn.flatMap((row) =>
        row.boxes.map((box, number) => {
          const index = row.start + number;
          const image = images[index];
          return (
            image && (
              <Tile
                key={image.id}
                image={image}
                index={index}
                count={images.length}
                style={{
                  transform: `translate(${box.left}px, ${row.top}px)`,
                  width: `${box.width}px`,
                  height: `${row.height}px`,
                }}
                width={box.width}
                isStop={image.id === stop}
                onReach={setCurrent}
                isSeen={row.top <= view.to - view.margin && row.top + row.height >= view.from + view.margin}
              />
            )
          );
        }),
      )}
    </div>
  );
}

interface TileProps {
  image: Image;
  index: number;
  count: number;
  width: number;
  isSeen: boolean;
  /** Of the Tab key. */
  isStop: boolean;
  onReach: (id: number) => void;
  style: Record<string, string>;
}

function Tile({ image, index, count, width, isSeen, isStop, onReach, style }: TileProps) {
  const isChosen = isSelected(image.id);
  const color = useMemo(() => image.placeholder && placeholderColor(image.placeholder), [image.placeholder]);
  const open = (event: MouseEvent) => {
    // The second half of a double click on what lay above it.
    if (event.detail > 1) return;
    const selects = event.shiftKey || event.ctrlKey || event.metaKey || isSelecting.value;
    if (!selects) show(image.id);
    else if (isMine(image)) toggle(image.id, event.shiftKey);
    // Nothing opens that was to be selected, because it is not known yet whose it is.
    else if (me.value) show(image.id);
  };
  return (
    <div
      class={`tile${isChosen ? " chosen" : ""}`}
      role="listitem"
      aria-busy={image.status === "processing"}
      aria-posinset={index + 1}
      aria-setsize={library.hasMore.value ? -1 : count}
      style={color && !isChosen ? { ...style, background: color } : style}
      onFocusIn={() => onReach(image.id)}
      onKeyDown={(event) => move(event, image.id)}
    >
      <button
        type="button"
        class="picture"
        data-id={image.id}
        tabIndex={isStop ? 0 : -1}
        aria-label={words.grid.open(image.title)}
        onClick={open}
      >
        <Picture image={image} width={width} isSeen={isSeen} />
        <span class="caption" dir="auto" aria-hidden="true">
          {image.title}
        </span>
      </button>
      <State image={image} />
      {isMine(image) && (
        <label class="choice">
          <input
            type="checkbox"
            checked={isChosen}
            tabIndex={isStop ? 0 : -1}
            aria-label={words.grid.select(image.title)}
            onClick={(event) => toggle(image.id, event.shiftKey)}
          />
          <span aria-hidden="true">
            <Icon name="check" />
          </span>
        </label>
      )}
    </div>
  );
}

function Picture({ image, width, isSeen }: { image: Image; width: number; isSeen: boolean }) {
  const [isThere, setThere] = useState(false);
  // The API makes so many new sizes a minute, and no more: those that it has made before remain.
  const [isPlain, setPlain] = useState(false);
  const placeholder = usePlaceholder(image.placeholder, isThere);
  const show = () => setThere(true);
  return (
    <>
      {placeholder && !isThere && <img class="placeholder" src={placeholder} alt="" />}
      {image.thumbnail_url && (
        <img
          class={isThere ? "there" : ""}
          src={image.thumbnail_url}
          srcset={isPlain ? undefined : tileSourceSet(image)}
          sizes={`${Math.ceil(width)}px`}
          alt={image.description || image.title}
          decoding="async"
          fetchpriority={isSeen ? "auto" : "low"}
          draggable={false}
          onLoad={(event) => void event.currentTarget.decode().then(show, show)}
          onError={() => setPlain(true)}
        />
      )}
    </>
  );
}

/** The picture itself may be faster. */
function usePlaceholder(placeholder: string | null, isThere: boolean): string | undefined {
  const [url, setUrl] = useState(placeholder === null ? undefined : drawnPlaceholder(placeholder));
  useEffect(() => {
    if (placeholder === null || isThere) return;
    return drawPlaceholder(placeholder, setUrl);
  }, [placeholder, isThere]);
  return url;
}

function State({ image }: { image: Image }) {
  // What changes in words alone is not worth one.
  if (image.thumbnail_url !== null || image.status === "ready") return null;
  if (image.status === "processing") return <span class="state">{words.grid.processing}</span>;
  return (
    <span class="state">
      <Icon name="warning" />
      {words.grid.failed}
    </span>
  );
}

/** Arrow keys go from picture to picture, or from box to box; up and down to the one that is nearest. */
function move(event: KeyboardEvent, id: number): void {
  const steps: Record<string, [number, number]> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  const step = steps[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [across, down] = step;
  const images = library.images.value;
  const index = images.findIndex((image) => image.id === id);
  const target = down ? nearest(event.currentTarget as HTMLElement, down) : images[index + across]?.id;
  if (target !== undefined) focusOnTile(target, event.target instanceof HTMLInputElement);
}

function nearest(element: HTMLElement, down: number): number | undefined {
  const own = element.getBoundingClientRect();
  const middle = own.left + own.width / 2;
  let best: { distance: number; id: number } | undefined;
  for (const other of document.querySelectorAll<HTMLElement>(".picture")) {
    const box = other.getBoundingClientRect();
    const away = down * (box.top - own.top);
    if (away < 1 || away > 2 * own.height + 400) continue;
    const distance = 1000 * away + Math.abs(box.left + box.width / 2 - middle);
    if (!best || distance < best.distance) best = { distance, id: Number(other.dataset["id"]) };
  }
  return best?.id;
}
