import { question } from "../state/confirmation";
import { words } from "../words";
import { Dialog } from "./Dialog";

export function Confirmation() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog key={asked} title={asked.title} onClose={() => asked.decide(false)}>
      <p>{asked.text}</p>
      <p class="actions">
        <button type="button" class="danger" onClick={() => asked.decide(true)}>
          {asked.yes}
        </button>
        <button type="button" autofocus onClick={() => asked.decide(false)}>
          {words.cancel}
        </button>
      </p>
    </Dialog>
  );
}
