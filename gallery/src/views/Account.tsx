import { useEffect, useState } from "preact/hooks";
import * as api from "../api/images";
import { inWords } from "../api/problem";
import { complain, say } from "../state/notices";
import { leave as leaveAll } from "../state/navigation";
import { ask } from "../state/confirmation";
import { words } from "../words";
import { Countdown } from "./Countdown";
import { Dialog } from "./Dialog";
import { isAccountOpen } from "./Header";
import { me } from "../state/currentUser";
import { day, readableBytes } from "./formatting";

export function AccountDialog() {
  if (!isAccountOpen.value) return null;
  return (
    <Dialog title={words.account.title} onClose={() => (isAccountOpen.value = false)}>
      <Contents />
    </Dialog>
  );
}

function Contents() {
  useEffect(() => {
    api.account().then(
      (account) => (me.value = account),
      (error: unknown) => complain(inWords(error)),
    );
  }, []);
  const account = me.value;
  const leave = () => {
    isAccountOpen.value = false;
    leaveAll();
    api.signOut().catch((error: unknown) => complain(inWords(error)));
  };
  return (
    <>
      {account && (
        <dl class="facts">
          <div>
            <dt>{words.signIn.username}</dt>
            <dd>{account.username}</dd>
          </div>
          <div>
            <dt>{words.account.stores}</dt>
            <dd>
              {words.pictures(account.usage.images)},{" "}
              {ofLimit(account.usage.bytes, account.limits["bytes"] ?? 0)}
            </dd>
          </div>
          <div>
            <dt>{words.account.since}</dt>
            <dd>{day(account.created_at)}</dd>
          </div>
        </dl>
      )}
      <button type="button" class="primary" onClick={leave}>
        {words.account.signOut}
      </button>
      <details>
        <summary>{words.account.changePassword}</summary>
        <PasswordForm username={account?.username ?? ""} />
      </details>
      <details>
        <summary>{words.account.leave}</summary>
        <LeaveForm username={account?.username ?? ""} />
      </details>
    </>
  );
}

function PasswordForm({ username }: { username: string }) {
  const { problem, isBusy, submit } = useForm(async (form, element) => {
    await api.changePassword(String(form.get("current")), String(form.get("fresh")));
    element.reset();
    say(words.account.changed);
  });
  return (
    <form onSubmit={submit}>
      <input name="username" autocomplete="username" value={username} hidden readOnly />
      <label>
        {words.account.current}
        <input name="current" type="password" autocomplete="current-password" required />
      </label>
      <label>
        {words.account.fresh}
        <input name="fresh" type="password" autocomplete="new-password" required maxLength={50} aria-describedby="fresh-rule" />
      </label>
      <p id="fresh-rule" class="quiet">
        {words.signIn.passwordRule}
      </p>
      <p role="alert" class="problem">
        {problem && <Countdown text={problem} />}
      </p>
      <button disabled={isBusy}>{words.account.change}</button>
    </form>
  );
}

function LeaveForm({ username }: { username: string }) {
  const { problem, isBusy, submit } = useForm(async (form) => {
    // All that it holds, as it is by now.
    const account = await api.account();
    const goes = words.account.goes(account.username, account.usage.images, readableBytes(account.usage.bytes));
    if (!(await ask(words.account.leaveQuestion, goes, words.account.leaveYes))) return;
    await api.deleteAccount(String(form.get("password")));
    isAccountOpen.value = false;
    leaveAll();
    say(words.account.left);
  });
  return (
    <form onSubmit={submit}>
      <p>{words.account.leaveWarning}</p>
      <input name="username" autocomplete="username" value={username} hidden readOnly />
      <label>
        {words.signIn.password}
        <input name="password" type="password" autocomplete="current-password" required />
      </label>
      <p role="alert" class="problem">
        {problem && <Countdown text={problem} />}
      </p>
      <button class="danger" disabled={isBusy}>
        {words.account.leaveConfirm}
      </button>
    </form>
  );
}

function useForm(send: (form: FormData, element: HTMLFormElement) => Promise<void>) {
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const element = event.currentTarget as HTMLFormElement;
    setBusy(true);
    setProblem(null);
    send(new FormData(element), element)
      .catch((error: unknown) => setProblem(inWords(error)))
      .finally(() => {
        setBusy(false);
        // The button was disabled, and has lost the focus.
        element.querySelector<HTMLElement>("[type=password]")?.focus();
      });
  };
  return { problem, isBusy, submit };
}

const ofLimit = (used: number, limit: number) =>
  limit ? words.account.of(readableBytes(used), readableBytes(limit)) : readableBytes(used);
