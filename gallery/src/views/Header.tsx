import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { tags, writtenTag } from "../api/images";
import type { Query, Sort, Visibility } from "../api/images";
import * as library from "../state/library";
import { enqueue } from "../state/uploads";
import { words } from "../words";
import { Icon, Logo } from "./Icon";
import { VISIBILITIES } from "./VisibilityOptions";

export const isAccountOpen = signal(false);
const areFiltersOpen = signal(false);

// While somebody types, not every letter is asked for.
const PAUSE_OF_TYPING_MS = 300;
// When others' pictures were taken is not told.
const OWN_SORT: Sort = "-taken_at";

export function Header() {
  const query = library.query.value;
  return (
    <header class="bar">
      <div class="bar-row">
        <h1>
          <Logo />
          {query.trashed ? words.find.trash : words.gallery}
        </h1>
        <Search />
        <button
          type="button"
          class="icon"
          aria-expanded={areFiltersOpen.value}
          aria-controls="filters"
          aria-label={words.find.filters}
          title={words.find.filters}
          onClick={() => (areFiltersOpen.value = !areFiltersOpen.value)}
        >
          <Icon name="filter" />
          {isNarrowed(query) && <span class="dot" />}
        </button>
        <button
          type="button"
          class="icon"
          aria-pressed={query.trashed}
          aria-label={query.trashed ? words.find.leaveTrash : words.find.trash}
          title={query.trashed ? words.find.leaveTrash : words.find.trash}
          onClick={library.goToTrash}
        >
          <Icon name="trash" />
        </button>
        <AddButton />
        <button
          type="button"
          class="icon"
          aria-label={words.account.title}
          title={words.account.title}
          onClick={() => (isAccountOpen.value = true)}
        >
          <Icon name="person" />
        </button>
      </div>
      {areFiltersOpen.value && <Filters query={query} />}
    </header>
  );
}

/** By more than words, which are seen as they stand. */
const isNarrowed = (query: Query) =>
  (Object.keys(query) as (keyof Query)[]).some(
    (name) => !["q", "sort", "trashed"].includes(name) && query[name] !== library.everything[name],
  );

function Search() {
  const [text, setText] = useText(library.query.value.q);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <search class="search">
      <Icon name="search" />
      <input
        type="search"
        dir="auto"
        aria-label={words.find.label}
        placeholder={words.find.placeholder}
        value={text}
        onInput={(event) => {
          const q = event.currentTarget.value;
          setText(q);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => library.find({ q: q.trim() }), PAUSE_OF_TYPING_MS);
        }}
      />
    </search>
  );
}

/** What is being written stays until it counts, and follows what is changed elsewhere. */
function useText(there: string) {
  const [text, setText] = useState(there);
  const seen = useRef(there);
  useEffect(() => {
    if (seen.current !== there) setText(there);
    seen.current = there;
  }, [there]);
  return [text, setText] as const;
}

function Filters({ query }: { query: Query }) {
  const [known, setKnown] = useState<string[]>([]);
  const [tag, setTag] = useText(query.tag);
  useEffect(() => {
    tags().then(
      (found) => setKnown(found.map((each) => each.tag)),
      () => setKnown([]),
    );
  }, []);
  const choose = (wish: Partial<Query>) => library.find(wish);
  const chooseTag = (text: string) => {
    const wanted = text.trim();
    if (wanted !== library.query.peek().tag) choose({ tag: wanted });
  };
  return (
    <div class="filters" id="filters">
      {!query.trashed && (
        <label>
          {words.find.owner}
          <select value={query.owner} onChange={(event) => {
              const owner = event.currentTarget.value as Query["owner"];
              choose({ owner, ...(query.sort === OWN_SORT && { sort: library.everything.sort }) });
            }}>
            <option value="me">{words.find.mine}</option>
            <option value="">{words.find.everybody}</option>
          </select>
        </label>
      )}
      <label>
        {words.find.sort}
        <select value={query.sort} onChange={(event) => choose({ sort: event.currentTarget.value as Sort })}>
          {Object.entries(words.find.sorts).map(
            ([sort, name]) => (query.owner === "me" || sort !== OWN_SORT) && <option value={sort}>{name}</option>,
          )}
        </select>
      </label>
      {!query.trashed && (
        <label>
          {words.find.visibility}
          <select
            value={query.visibility}
            onChange={(event) => choose({ visibility: event.currentTarget.value as Visibility | "" })}
          >
            <option value="">{words.find.any}</option>
            {VISIBILITIES.map((each) => (
              <option value={each}>{words.visibility[each]}</option>
            ))}
          </select>
        </label>
      )}
      <label>
        {words.find.kind}
        <select value={query.contentType} onChange={(event) => choose({ contentType: event.currentTarget.value })}>
          <option value="">{words.find.any}</option>
          {Object.entries(words.find.kinds).map(([type, name]) => (
            <option value={type}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        {words.find.tag}
        <input
          list="known-tags"
          value={tag}
          onInput={(event) => {
            setTag(event.currentTarget.value);
            // Typed letters come as what they are; a suggestion that is chosen comes as a whole.
            const isTyped = event instanceof InputEvent && event.inputType !== "insertReplacementText";
            if (!isTyped) chooseTag(event.currentTarget.value);
          }}
          onChange={(event) => chooseTag(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && chooseTag(event.currentTarget.value)}
          onBlur={(event) => chooseTag(event.currentTarget.value)}
        />
        <datalist id="known-tags">
          {known.map((tag) => (
            <option value={writtenTag(tag)} />
          ))}
        </datalist>
      </label>
      <label>
        {words.find.from}
        <input type="date" value={query.createdAfter} onChange={(event) => choose({ createdAfter: event.currentTarget.value })} />
      </label>
      <label>
        {words.find.to}
        <input type="date" value={query.createdBefore} onChange={(event) => choose({ createdBefore: event.currentTarget.value })} />
      </label>
      {library.isFiltered.value && (
        <button type="button" class="link" onClick={library.reset}>
          {words.find.clear}
        </button>
      )}
    </div>
  );
}

export function AddButton() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="primary add" title={words.upload.add} onClick={() => input.current?.click()}>
        <Icon name="add" />
        <span>{words.upload.add}</span>
      </button>
      <input
        ref={input}
        type="file"
        hidden
        multiple
        accept="image/*,.heic,.heif,.avif,.tif,.tiff"
        onChange={(event) => {
          enqueue(event.currentTarget.files ?? []);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}
