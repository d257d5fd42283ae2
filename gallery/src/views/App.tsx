import { useEffect, useState } from "preact/hooks";
import { account } from "../api/images";
import type { Visibility } from "../api/images";
import { presence } from "../api/http";
import { emptyTrash } from "../state/emptyTrash";
import * as library from "../state/library";
import { enqueue, isOffline, newVisibility, showNewTo } from "../state/uploads";
import { words } from "../words";
import { AccountDialog } from "./Account";
import { Conflicts } from "./Conflicts";
import { openDialogs } from "./Dialog";
import { Details } from "./Details";
import { Grid } from "./Grid";
import { AddButton, Header } from "./Header";
import { me } from "../state/currentUser";
import { Notices } from "./Notices";
import { coversAll } from "./Panel";
import { Confirmation } from "./Confirmation";
import { SelectionBar } from "./SelectionBar";
import { SignIn } from "./SignIn";
import { UploadPanel } from "./UploadPanel";
import { VisibilityOptions } from "./VisibilityOptions";

export function App() {
  return (
    <>
      {presence.value === "out" && <SignIn />}
      {presence.value === "in" && <Library />}
      <div class="bottom">
        {openDialogs.value.length === 0 && !coversAll.value && <Notices />}
        {presence.value === "in" && (
          <>
            <UploadPanel />
            <SelectionBar />
          </>
        )}
      </div>
    </>
  );
}

function Library() {
  const isDropping = useDroppedAndPasted();
  useEffect(() => {
    let isIn = true;
    account().then(
      (found) => isIn && (me.value = found),
      () => undefined,
    );
    return () => {
      isIn = false;
      me.value = null;
    };
  }, []);
  return (
    <>
      <div id="behind">
        <a
          class="skip"
          href="#pictures"
          onClick={(event) => {
            // Below its base, a page's own place is another page's.
            event.preventDefault();
            document.getElementById("pictures")?.focus();
          }}
        >
          {words.skipToPictures}
        </a>
        <Header />
        {isOffline.value && (
          <p class="offline" role="status">
            {words.trouble.offline}
          </p>
        )}
        <main id="pictures" tabIndex={-1}>
          <div class="count">
            <p class="quiet" role="status">
              {library.images.value.length > 0 && count()}
            </p>
            {library.query.value.trashed && <p class="quiet">{trashDays ? words.grid.keptFor(trashDays) : words.grid.kept}</p>}
            {library.query.value.trashed && library.images.value.length > 0 && (
              <>
                <button type="button" class="link" onClick={library.goToTrash}>
                  {words.find.leaveTrash}
                </button>
                <button type="button" class="link" onClick={() => void emptyTrash()}>
                  {words.grid.empties}
                </button>
              </>
            )}
            {!library.query.value.trashed && <WhoSeesNew />}
          </div>
          <Grid />
          <End />
        </main>
      </div>
      <Details />
      <AccountDialog />
      <Conflicts />
      <Confirmation />
      {isDropping && (
        <div class="drop">
          <p>{words.upload.drop}</p>
          <p>
            {words.selection.visibility}: {words.visibility.explained[newVisibility.value]}
          </p>
        </div>
      )}
    </>
  );
}

/** After how many days there what is in the trash goes; 0: never. */
const trashDays = Number(document.documentElement.dataset["trashDays"]);

function count(): string {
  const { count, isExact } = library.total.value;
  const found = isExact ? words.pictures(count) : words.atLeast(count);
  return library.isByTitle.value ? words.find.inTitles(found, library.query.value.q) : found;
}

function WhoSeesNew() {
  return (
    <label class="who">
      {words.upload.seenBy}
      <select
        value={newVisibility.value}
        onChange={(event) => showNewTo(event.currentTarget.value as Visibility)}
      >
        <VisibilityOptions />
      </select>
    </label>
  );
}

function End() {
  const isEmpty = library.images.value.length === 0;
  if (library.trouble.value !== null) {
    // It is said above, and tried again as soon as it can be.
    if (isOffline.value) return null;
    return (
      <div class="end" role="alert">
        <p>{library.trouble.value}</p>
        <button
          type="button"
          onClick={() => {
            library.trouble.value = null;
            void library.loadMore();
          }}
        >
          {words.retry}
        </button>
      </div>
    );
  }
  if (library.isLoading.value) return <p class="end quiet">{words.grid.loading}…</p>;
  if (!isEmpty || library.hasMore.value) return null;
  if (library.query.value.trashed && !library.isFiltered.value) {
    return (
      <div class="end">
        <h2>{words.grid.emptyTrash}</h2>
        <button type="button" onClick={library.goToTrash}>
          {words.find.leaveTrash}
        </button>
      </div>
    );
  }
  return library.isFiltered.value ? (
    <div class="end">
      <h2>{words.grid.nothing}</h2>
      <p>{words.grid.nothingHint}</p>
      <button type="button" onClick={library.reset}>
        {words.find.clear}
      </button>
    </div>
  ) : (
    <div class="end">
      <h2>{words.grid.empty}</h2>
      <p>{words.grid.emptyHint}</p>
      <AddButton />
    </div>
  );
}

/** Whether files are held over the page. */
function useDroppedAndPasted(): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(false);
      enqueue(event.dataTransfer.files);
    };
    const paste = (event: ClipboardEvent) => {
      if (event.clipboardData?.files.length) enqueue(event.clipboardData.files);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    addEventListener("paste", paste);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
      removeEventListener("paste", paste);
    };
  }, []);
  return isOver;
}
