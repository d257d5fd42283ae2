import { useRef, useState } from "preact/hooks";
import { hasEnded } from "../api/http";
import { enter } from "../api/images";
import { inWords } from "../api/problem";
import { words } from "../words";
import { Countdown } from "./Countdown";
import { Logo } from "./Icon";

export function SignIn() {
  const [isNew, setNew] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const element = event.currentTarget as HTMLFormElement;
    const form = new FormData(element);
    setBusy(true);
    setProblem(null);
    try {
      await enter(isNew ? "register" : "login", String(form.get("username")), String(form.get("password")));
    } catch (error) {
      setProblem(inWords(error));
      setBusy(false);
      // The button was disabled, and has lost the focus.
      element.querySelector<HTMLElement>("[type=password]")?.focus();
    }
  };
  return (
    <main class="sign-in">
      <h1>
        <Logo />
        {words.gallery}
      </h1>
      {hasEnded.value ? <p role="status">{words.trouble.signedOut}</p> : <p class="quiet">{words.signIn.welcome}</p>}
      <form onSubmit={submit} aria-label={isNew ? words.signIn.register : words.signIn.title}>
        <label>
          {words.signIn.username}
          <input
            ref={first}
            name="username"
            autocomplete="username"
            required
            maxLength={64}
            autofocus
            autocapitalize="none"
            spellcheck={false}
          />
        </label>
        <label>
          {words.signIn.password}
          <input
            name="password"
            type="password"
            required
            maxLength={50}
            autocomplete={isNew ? "new-password" : "current-password"}
            aria-describedby={isNew ? "password-rule" : undefined}
          />
        </label>
        {isNew && (
          <p id="password-rule" class="quiet">
            {words.signIn.passwordRule}
          </p>
        )}
        <p role="alert" class="problem">
          {problem && <Countdown text={problem} />}
        </p>
        <button class="primary" disabled={isBusy}>
          {isNew ? words.signIn.create : words.signIn.signIn}
        </button>
      </form>
      <button
        type="button"
        class="link"
        onClick={() => {
          setNew(!isNew);
          setProblem(null);
          first.current?.focus();
        }}
      >
        {isNew ? words.signIn.toSignIn : words.signIn.toRegister}
      </button>
    </main>
  );
}
