import { useId, useRef, useState } from "preact/hooks";
import { tagsOf } from "../api/images";
import { words } from "../words";
import { Icon } from "./Icon";

interface Props {
  tags: readonly string[];
  isRefused: boolean;
  onChange: (tags: readonly string[]) => void;
}

/** Each with a way to remove it; what is written is added with Enter, or when the field is left. */
export function Tags({ tags, isRefused, onChange }: Props) {
  const [text, setText] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const add = () => {
    const known = new Set(tags.map((tag) => tag.toLowerCase()));
    const fresh = tagsOf(text).filter((tag) => !known.has(tag.toLowerCase()));
    setText("");
    if (fresh.length) onChange([...tags, ...fresh]);
  };
  return (
    <div class="tags">
      <label for={id}>{words.details.tags}</label>
      {tags.length > 0 && (
        <ul>
          {tags.map((tag) => (
            <li key={tag}>
              {tag}
              <button
                type="button"
                aria-label={words.details.removeTag(tag)}
                onClick={() => {
                  onChange(tags.filter((each) => each !== tag));
                  input.current?.focus();
                }}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <input
        ref={input}
        id={id}
        value={text}
        placeholder={words.details.tagsHint}
        aria-invalid={isRefused}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && add()}
        onBlur={add}
      />
    </div>
  );
}
