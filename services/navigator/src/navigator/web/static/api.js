// The navigator's public API, and nothing else: whatever the page shows, any client can read.

const KEEPER = "reasonflux.key";
let key = sessionStorage.getItem(KEEPER) ?? "";

/** Use an API key from here on. It stays in memory, or with `keep` until the tab is closed; never longer. */
export function useKey(given, keep) {
  key = given.trim();
  if (key && keep) sessionStorage.setItem(KEEPER, key);
  else sessionStorage.removeItem(KEEPER);
}

export function hasKey() {
  return key !== "";
}

/** An answer that is no success, with what to do about it. */
export class Refused extends Error {
  constructor(status, { message, hint, type } = {}) {
    super(message ?? `the navigator answered ${status}`);
    Object.assign(this, { status, hint: hint ?? "", type: type ?? "" });
  }
}

export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const response = await fetch(path, {
    method,
    signal,
    cache: "no-store",
    headers: { ...authorization(), ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
    body: body ? JSON.stringify(body) : undefined,
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "the navigator cannot be reached", hint: "is it running? the page tries again when you do" });
  });
  if (!response.ok) throw new Refused(response.status, (await response.json().catch(() => ({}))).error);
  return response;
}

export async function read(path, options) {
  return (await ask(path, options)).json();
}

function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

const session = (id) => `/v1/sessions/${encodeURIComponent(id)}`;
const library = (name, ...rest) => ["/v1/libraries", name, ...rest].map((part, n) => (n ? encodeURIComponent(part) : part)).join("/");
const query = (asked) => {
  const said = Object.entries(asked).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return said.length ? `?${new URLSearchParams(said)}` : "";
};

export const sessions = {
  create: (asked) => read("/v1/sessions", { method: "POST", body: asked, headers: { "Idempotency-Key": randomName() } }),
  list: (cursor) => read(`/v1/sessions${query({ limit: 20, cursor })}`),
  cancel: (id) => read(`${session(id)}/cancel`, { method: "POST" }),
  events: (id, after) => read(`${session(id)}/events${query({ after, limit: 1000 })}`),
  statements: (id) => read(`${session(id)}/statements`),
  exchange: (id, seq) => read(`${session(id)}/events/${seq}/exchange`),
  markdown: async (id) => (await ask(`${session(id)}/markdown`)).text(),
};

export const libraries = {
  all: async () => (await read("/v1/libraries")).libraries,
  cards: (name) => read(library(name, "cards")),
  use: (name) => read(library(name, "use")),
  search: (name, asked) => read(library(name, "search") + query(asked)),
  template: (name, id, revision) => read(library(name, "templates", id) + query({ revision })),
  history: (name, id) => read(library(name, "templates", id, "history")),
  sessions: (name, id) => read(library(name, "templates", id, "sessions")),
};

/** The engine profiles that the deployment offers, its own first. */
export const engines = async () => [...new Set((await read("/v1/models")).data.map((model) => model.reasonflux.engine))];

export const mathml = (texts) => read("/v1/mathml", { method: "POST", body: { texts } });

function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The whole journal so far. */
export async function journal(id) {
  const entries = [];
  for (;;) {
    const page = await sessions.events(id, entries.length);
    entries.push(...page.entries);
    if (page.finished || page.entries.length < 1000) return { entries, finished: page.finished };
  }
}

/** Follow a session from `after` on: `onEntry` and `onDelta` hear it, also through broken connections, until its end. */
export async function follow(id, after, { onEntry, onDelta, onLine, signal }) {
  let last = after;
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": String(last) } : {}) };
      const response = await ask(`${session(id)}/events`, { headers, signal });
      onLine(true);
      for await (const { event, data } of frames(response.body)) {
        if (event === "delta") onDelta(JSON.parse(data));
        else {
          const entry = JSON.parse(data);
          if (entry.seq <= last) continue;
          last = entry.seq;
          failures = 0;
          onEntry(entry);
          if (event === "session.finished") return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    onLine(false);
    await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 200 * 2 ** failures)));
  }
}

/** Server-sent events out of a body: EventSource cannot send a key. */
export async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      left += value;
      const blocks = left.split("\n\n");
      left = blocks.pop();
      for (const block of blocks) {
        const frame = { event: "message", data: "" };
        for (const line of block.split("\n")) {
          const cut = line.indexOf(":");
          const name = line.slice(0, cut);
          const value = line.slice(cut + 1).replace(/^ /, "");
          if (name === "event") frame.event = value;
          if (name === "data") frame.data += (frame.data ? "\n" : "") + value;
        }
        if (frame.data) yield frame;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
