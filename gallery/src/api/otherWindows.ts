/** What this window has changed is told to the others that are open. */

const channel = new BroadcastChannel("gallery:changed");

export const tell = (ids: number[]) => channel.postMessage(ids);

export function listen(hear: (ids: number[]) => void): void {
  channel.onmessage = (event: MessageEvent<number[]>) => hear(event.data);
}
