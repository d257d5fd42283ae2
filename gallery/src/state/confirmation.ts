/** What is asked before something that cannot be undone. */

import { signal } from "@preact/signals";

export interface Question {
  title: string;
  text: string;
  /** On the button that does it. */
  yes: string;
  decide: (isWanted: boolean) => void;
}

export const question = signal<Question | null>(null);

export function ask(title: string, text: string, yes: string): Promise<boolean> {
  question.value?.decide(false);
  return new Promise((resolve) => {
    const decide = (isWanted: boolean) => {
      question.value = null;
      resolve(isWanted);
    };
    question.value = { title, text, yes, decide };
  });
}
