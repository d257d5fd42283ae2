import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Changes, Image, Visibility } from "../api/images";
import { Problem, inWords } from "../api/problem";
import { edit } from "../state/edits";
import { complain, say } from "../state/notices";
import { isOffline } from "../state/uploads";
import { words } from "../words";
import { Tags } from "./Tags";
import { VisibilityOptions } from "./VisibilityOptions";

const PAUSE_OF_CHOOSING_MS = 700;

/** Each field is saved when it is left, or with Enter. */
export function TextFields({ image }: { image: Image }) {
  const title = useEdit(image, image.title, (text) => ({ title: text.trim() }), whyNoTitle);
  const description = useEdit(image, image.description, (text) => ({ description: text }));
  const tags = useEdit<readonly string[]>(image, image.tags, (all) => ({ tags: [...all] }));
  const visibility = useEdit(image, image.visibility, (chosen) => ({ visibility: chosen }));
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <div class="fields">
      <Field label={words.details.name} problem={title.problem}>
        <input maxLength={255} {...written(title, "Enter")} />
      </Field>
      <Field label={words.details.description} problem={description.problem}>
        <textarea rows={3} maxLength={2000} {...written(description)} />
      </Field>
      <div>
        <Tags tags={tags.shown} isRefused={tags.problem !== null} onChange={tags.save} />
        <Why problem={tags.problem} />
      </div>
      <Field label={words.details.visibility} problem={visibility.problem}>
        <select
          value={visibility.shown}
          onChange={(event) => {
            const chosen = event.currentTarget.value as Visibility;
            visibility.write(chosen);
            // With the keyboard each option on the way is chosen for a moment.
            clearTimeout(timer.current);
            timer.current = setTimeout(() => visibility.save(chosen), PAUSE_OF_CHOOSING_MS);
          }}
          onBlur={() => {
            clearTimeout(timer.current);
            visibility.save(visibility.shown);
          }}
        >
          <VisibilityOptions />
        </select>
      </Field>
    </div>
  );
}

/** The API would take what is behind the last one, as of the name of a file. */
const whyNoTitle = (text: string) => (/[/\\]/.test(text) ? words.details.noPath : null);

function Field({ label, problem, children }: { label: string; problem: string | null; children: ComponentChildren }) {
  return (
    <div>
      <label>
        {label}
        {children}
      </label>
      <Why problem={problem} />
    </div>
  );
}

const Why = ({ problem }: { problem: string | null }) => problem && <p class="problem">{problem}</p>;

function written(edit: Edit<string>, savingKey?: string) {
  return {
    value: edit.shown,
    dir: "auto" as const,
    "aria-invalid": edit.problem !== null,
    onInput: (event: Event) => edit.write((event.currentTarget as HTMLInputElement | HTMLTextAreaElement).value),
    onBlur: () => edit.save(edit.shown),
    onKeyDown: (event: KeyboardEvent) => event.key === savingKey && edit.save(edit.shown),
  };
}

interface Edit<T> {
  /** What was written, as long as it is not saved, or else what is there. */
  shown: T;
  problem: string | null;
  write: (text: T) => void;
  save: (text: T) => void;
}

interface Draft<T> {
  text: T;
  /** The picture as it was when its owner began to write. */
  seen: Image;
  isSent: boolean;
  /** For what it is: sent again, it would be so again. */
  isRefused: boolean;
  /** Nobody was there to take it. */
  isLost: boolean;
}

const unsent = { isSent: false, isRefused: false, isLost: false };
// What the API says of a text that it will not take.
const OF_THE_TEXT = [400, 422];
const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

function useEdit<T>(
  image: Image,
  there: T,
  changesTo: (text: T) => Changes,
  whyNot: (text: T) => string | null = () => null,
): Edit<T> {
  const [draft, setDraft] = useState<Draft<T> | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const seen = draft?.seen ?? image;
  const shown = draft ? draft.text : there;
  const save = (text: T) => {
    if (draft && (draft.isSent || draft.isRefused) && isSame(draft.text, text)) return;
    setProblem(null);
    if (isSame(text, there) && !draft?.isSent) return setDraft(null);
    const refuse = (why: string) => {
      setProblem(why);
      complain(why);
    };
    const why = whyNot(text);
    if (why !== null) {
      setDraft({ ...unsent, text, seen, isRefused: true });
      return refuse(why);
    }
    const sent = { ...unsent, text, seen, isSent: true };
    setDraft(sent);
    // Whoever writes on meanwhile keeps that.
    const settle = (to: Draft<T> | null) => setDraft((now) => (now === sent ? to : now));
    edit(seen, changesTo(text)).then(
      (isSaved) => {
        settle(null);
        if (isSaved) say(words.details.saved);
      },
      (error: unknown) => {
        const isRefused = error instanceof Problem && OF_THE_TEXT.includes(error.status);
        const isLost = error instanceof Problem && error.status === 0;
        settle({ ...sent, isSent: false, isRefused, isLost });
        refuse(inWords(error));
      },
    );
  };
  const isAway = isOffline.value;
  useEffect(() => {
    if (!isAway && draft?.isLost) save(draft.text);
  }, [isAway]);
  return { shown, problem, write: (text) => setDraft({ ...unsent, text, seen }), save };
}
