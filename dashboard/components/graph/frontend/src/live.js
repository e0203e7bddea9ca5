// States over a WebSocket: reconnects up to five times with growing delay; the count starts anew on success.

export const DELAYS_MS = [500, 1000, 2000, 4000, 8000];
const SIGNED_OUT = new Set([4401, 4403]);
const OVER = new Set(["completed", "failed", "cancelled", "removed"]);
const SILENT_AFTER_MS = 20000;

export class LiveFeed {
  /**
   * @param {string} path of a WebSocket on this host
   * @param {(message: object) => void} onMessage
   * @param {(state: string, attempt: number) => void} onState connecting, live, stale (connected, but the server's
   *   source is away), waiting, lost, ended (signed out) or complete (nothing will change any more)
   */
  constructor(path, onMessage, onState) {
    const url = new URL(path, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    this.attempt = 0;
    this.state = null;
    this.socket = null;
    this.timer = null;
    this.beats = false;
    this.isOver = false;
    this.wake = () => {
      if (!document.hidden && (this.state === "lost" || this.state === "waiting")) this.retry();
    };
    document.addEventListener("visibilitychange", this.wake);
    window.addEventListener("online", this.wake);
    this.connect();
  }

  retry() {
    this.attempt = 0;
    this.connect();
  }

  connect() {
    this.drop();
    this.tell("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.attempt = 0;
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.socket) this.again(event.code);
    };
  }

  receive(message) {
    if (message.type === "ping") {
      this.beats = true;
      this.socket.send('{"type":"pong"}');
    }
    if (this.beats) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.giveUp(), SILENT_AFTER_MS);
    }
    if (message.type === "stale") this.tell("stale");
    else if (message.type === "snapshot" || message.type === "diff") {
      this.tell("live");
      if (message.run) this.isOver = OVER.has(message.run.status);
      this.onMessage(message);
    }
  }

  again(code) {
    clearTimeout(this.timer);
    if (SIGNED_OUT.has(code)) return this.tell("ended");
    if (this.isOver) return this.tell("complete");
    if (this.attempt >= DELAYS_MS.length) return this.tell("lost");
    const delay = DELAYS_MS[this.attempt] * (0.8 + 0.4 * Math.random());
    this.attempt += 1;
    this.tell("waiting");
    this.timer = setTimeout(() => this.connect(), delay);
  }

  /** A peer that is gone does not answer a close either, so do not wait for it. */
  giveUp() {
    this.drop();
    this.again(null);
  }

  tell(state) {
    if (state === "live" && this.state === "live") return;
    if (state === "connecting" && this.attempt > 0) return;
    this.state = state;
    this.onState(state, this.attempt);
  }

  drop() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
  }

  destroy() {
    document.removeEventListener("visibilitychange", this.wake);
    window.removeEventListener("online", this.wake);
    this.drop();
  }
}
