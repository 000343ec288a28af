/**
 * The WebSocket: frames into the store, replay after a loss, polling while it is away.
 *
 * The protocol is the gateway's: the token is a subprotocol, `subscribe` with `after` replays the
 * events since, and progress, which cannot be replayed, begins with the newest state.
 */
import { WebSocket as ReconnectingSocket } from "partysocket";
import type { Frame, FrameOf } from "@/api/types";
import { addEvents, type Happening } from "@/state/activity";
import { fetchFirst, refreshAll } from "@/state/fetching";
import { useSession } from "@/state/session";
import { announce } from "./announce";
import { apply } from "./apply";
import { Refresher } from "./refresher";
import { liveness } from "./status";

const PROTOCOL = "mistudio.v1";
const POLL_MS = 5000;
/** Away for longer than this, the state is asked for instead. */
const PATIENCE_MS = 4000;
/** So many events of before are shown as past activity. */
const HISTORY = 200;
/** Of many frames at once, the store hears no more often than this: nobody reads faster. */
const BEAT_MS = 100;
const UNAUTHORIZED = 4401;
const FORBIDDEN = 4403;
/** The events begin anew: what was seen of them means nothing any more. */
const RESTARTED = 1012;

export class LiveConnection {
  private readonly socket: ReconnectingSocket;
  private readonly refresher = new Refresher();
  private readonly abort = new AbortController();
  private readonly first: Promise<void>;
  private pending: Frame[] = [];
  private scheduled: number | undefined;
  private flushedAt = 0;
  private last: number | null = null;
  /** Events up to this id are replayed ones, and no news. */
  private replayedUpto = -1;
  /** Events up to this id are older than the rows that were read, and change nothing. */
  private knownUpto = -1;
  private patience: number | undefined;
  private poll: number | undefined;

  constructor(token: string) {
    const { protocol, host } = window.location;
    const url = `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
    this.socket = new ReconnectingSocket(url, [PROTOCOL, `bearer.${token}`], {
      minReconnectionDelay: 500,
      maxReconnectionDelay: 15_000,
      reconnectionDelayGrowFactor: 1.6,
      connectionTimeout: 5000,
      maxEnqueuedMessages: 0,
    });
    const { signal } = this.abort;
    this.socket.addEventListener("open", () => this.opened(), { signal });
    this.socket.addEventListener("message", (event) => this.heard(event.data), { signal });
    this.socket.addEventListener("close", (event) => this.closed(event.code), { signal });
    // A machine that wakes up, or a network that is back, need not wait for the back-off.
    window.addEventListener("online", () => this.socket.reconnect(), { signal });
    this.waitPatiently();
    // Something to look at while the connection is made; what it missed is read with the rest.
    this.first = fetchFirst("models");
  }

  /** End it for good. */
  close(): void {
    this.abort.abort();
    this.socket.close();
    this.stopPolling();
    window.clearTimeout(this.scheduled);
  }

  private opened(): void {
    // What went before is read as rows; its last events are asked for to be looked at.
    const subscribe = this.last === null ? { last: HISTORY } : { after: this.last };
    this.socket.send(JSON.stringify({ subscribe }));
  }

  private heard(text: unknown): void {
    const frame = JSON.parse(String(text)) as Frame;
    if (frame.type === "subscribed") this.subscribed(frame);
    if (frame.type === "subscribed" || frame.type === "error") return;
    this.pending.push(frame);
    // One change of the store for all frames of a beat, the first of which does not wait for it.
    const wait = this.flushedAt + BEAT_MS - performance.now();
    this.scheduled ??= window.setTimeout(() => this.flush(), Math.max(0, wait));
  }

  private subscribed(frame: FrameOf<"subscribed">): void {
    const newest = frame.id ?? 0;
    this.replayedUpto = newest;
    this.stopPolling();
    liveness("live");
    // After a gap the rows are read anew; of a stream that was made anew the ids begin below.
    if (this.last === null || frame.data.gap === true) {
      this.knownUpto = newest;
      this.last = newest;
    }
    // Read only now that events are followed: what changes from here on is heard.
    void this.first.then(refreshAll);
  }

  private flush(): void {
    this.scheduled = undefined;
    this.flushedAt = performance.now();
    const frames = this.pending;
    this.pending = [];
    for (const frame of frames) {
      if (isNew(frame, this.replayedUpto)) announce(frame);
      if (frame.id !== null && frame.id > (this.last ?? -1)) this.last = frame.id;
    }
    const fresh = frames.filter((frame) => frame.id == null || frame.id > this.knownUpto);
    this.refresher.refresh(apply(fresh));
    addEvents(frames.flatMap(happening));
  }

  private closed(code: number): void {
    if (code === UNAUTHORIZED || code === FORBIDDEN) {
      useSession.getState().signOut();
      return;
    }
    if (code === RESTARTED) this.last = null;
    if (this.poll === undefined) liveness("reconnecting");
    this.waitPatiently();
  }

  private waitPatiently(): void {
    if (this.patience !== undefined || this.poll !== undefined) return;
    this.patience = window.setTimeout(() => {
      this.patience = undefined;
      liveness("polling");
      void refreshAll();
      this.poll = window.setInterval(() => void refreshAll(), POLL_MS);
    }, PATIENCE_MS);
  }

  private stopPolling(): void {
    window.clearTimeout(this.patience);
    window.clearInterval(this.poll);
    this.patience = undefined;
    this.poll = undefined;
  }
}

function isNew(frame: Frame, replayedUpto: number): boolean {
  return frame.id != null && frame.id > replayedUpto;
}

function happening(frame: Frame): Happening[] {
  if (frame.id == null || frame.type === "subscribed") return [];
  return [{ id: frame.id, type: frame.type, at: frame.data.timestamp, data: frame.data }];
}
