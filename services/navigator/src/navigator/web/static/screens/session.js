// One session: live while it runs, and event by event whenever one likes.

import { engines, follow, journal, sessions } from "../api.js";
import { link } from "../routes.js";
import { blank, heard, settled, tell, traced } from "../trace.js";
import { sessionPage } from "../views/session.js";
import { short } from "../words.js";

const PLAY_MS = 900;
/** A long session is drawn in two strokes: what is seen first, and the rest in the frame after. */
const FIRST_STROKE = 24;

export function open({ id, asked }, app, early) {
  const stop = new AbortController();
  const state = {
    id,
    trace: blank(id),
    live: new Map(),
    at: place(asked),
    line: "opening",
    waited: 0,
    most: FIRST_STROKE,
    error: null,
    said: "",
    statements: [],
    evidence: new Set(),
    exchanges: new Map(),
    share: false,
    playing: false,
    question: "",
    engines: [],
    again: { retrieve: true, review: true, effort: "medium" },
  };
  let replayed = { at: null, trace: null };
  let timer = 0;
  let heardAt = performance.now();
  const clock = setInterval(() => {
    if (state.line !== "live") return;
    state.waited = performance.now() - heardAt;
    app.draw();
  }, 1000);

  const act = {
    async cancel() {
      await attempted(async () => {
        await sessions.cancel(id);
        state.said = "Cancelled";
      });
    },
    moveTo(at) {
      const last = state.trace.entries.length;
      state.at = at === null ? null : Math.max(1, Math.min(at, last));
      if (state.at === null || state.at === last) pause();
      app.rename(link.session(id, state.at));
    },
    play() {
      if (state.playing) return pause();
      if (state.at === null || state.at >= state.trace.entries.length) act.moveTo(1);
      state.playing = true;
      timer = setInterval(() => act.moveTo((state.at ?? 0) + 1), PLAY_MS);
      app.draw();
      return undefined;
    },
    statement: (name) => state.statements.find(({ id }) => id === name)?.text ?? "",
    toggle(stepId) {
      state.evidence = toggled(state.evidence, stepId);
      app.draw();
    },
    async exchange(seq) {
      if (state.exchanges.has(seq)) state.exchanges = without(state.exchanges, seq);
      else {
        state.exchanges = new Map(state.exchanges).set(seq, { state: "asking" });
        app.draw();
        const found = await sessions.exchange(id, seq).catch((error) => ({ error: app.refused(error) }));
        state.exchanges = new Map(state.exchanges).set(seq, found);
      }
      app.draw();
    },
    share(open) {
      state.share = open;
      app.draw();
    },
    async copyLink() {
      await navigator.clipboard?.writeText(location.href).catch(() => {});
      said("Link copied");
    },
    saveJson() {
      save(`${id}.json`, "application/json", JSON.stringify({ session_id: id, entries: state.trace.entries }, null, 2));
    },
    async saveMarkdown() {
      await attempted(async () => save(`${id}.md`, "text/markdown", await sessions.markdown(id)));
    },
    print: () => window.print(),
    async ask(problem) {
      if (!problem.trim()) return;
      await attempted(async () => {
        const { library, engine } = state.trace.session.options;
        const next = await sessions.create({ problem, parent: id, library, engine });
        app.go(link.session(next.id));
      });
    },
    another(change) {
      state.again = { ...state.again, ...change };
      app.draw();
    },
    async askAgain() {
      await attempted(async () => {
        const { problem, turns, instructions, options } = state.trace.session;
        const asked = { problem: problem.text, turns, instructions };
        const other = await sessions.create({ ...asked, library: options.library, engine: options.engine, ...state.again });
        app.go(link.compare(id, other.id));
      });
    },
    retry: start,
  };

  async function attempted(work) {
    state.error = null;
    try {
      await work();
    } catch (error) {
      state.error = app.refused(error);
    }
    app.draw();
  }

  function said(text) {
    state.said = text;
    state.share = false;
    app.draw();
  }

  function pause() {
    clearInterval(timer);
    state.playing = false;
    app.draw();
  }

  async function start() {
    state.error = null;
    try {
      const asked = early ?? journal(id);
      early = null;
      const known = await asked;
      for (const entry of known.entries) state.trace = tell(state.trace, entry);
      state.line = known.finished ? "ended" : "live";
      app.draw();
      afterFrame(wholeDrawn);
      engines().then((found) => { state.engines = found; app.draw(); }).catch(() => {});
      sessions.statements(id).then((found) => { state.statements = found; app.draw(); }).catch(() => {});
      if (!known.finished) await follow(id, state.trace.entries.length, ears());
      state.line = "ended";
    } catch (error) {
      if (stop.signal.aborted) return;
      state.error = app.refused(error);
      state.line = "broken";
    }
    app.draw();
  }

  function wholeDrawn() {
    state.most = Infinity;
    app.draw();
    afterFrame(() => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView());
  }

  function ears() {
    return {
      signal: stop.signal,
      onEntry(entry) {
        heardAt = performance.now();
        state.waited = 0;
        state.trace = tell(state.trace, entry);
        state.live = settled(state.live, entry.event);
        app.draw();
      },
      onDelta(delta) {
        state.live = heard(state.live, delta);
        app.draw();
      },
      onLine(open) {
        state.line = open ? "live" : "waiting";
        app.draw();
      },
    };
  }

  /** The trace at the event that is looked at; the present is the trace itself. */
  function seen() {
    if (state.at === null || state.at >= state.trace.entries.length) return state.trace;
    if (replayed.at !== state.at) replayed = { at: state.at, trace: traced(id, state.trace.entries.slice(0, state.at)) };
    return replayed.trace;
  }

  start();
  return {
    view: () => sessionPage(state, act, seen()),
    title: () => title(state.trace.session),
    update(at) {
      if (at.screen !== "session" || at.id !== id) return false;
      state.at = place(at.asked);
      return true;
    },
    close() {
      clearInterval(timer);
      clearInterval(clock);
      stop.abort();
    },
    key: (event) => keys(event, state, act),
  };
}

function afterFrame(work) {
  requestAnimationFrame(() => setTimeout(work));
}

function place(asked) {
  const at = Number(asked.at);
  return Number.isInteger(at) && at > 0 ? at : null;
}

function title(session) {
  if (!session) return "Session";
  const sign = { solved: "✓", unsolved: "–", failed: "✗", cancelled: "–" }[session.outcome] ?? "…";
  return `${sign} ${session.answer ? `${short(session.answer, 20)} · ` : ""}${short(session.problem.text, 50)}`;
}

function keys(event, state, act) {
  const at = state.at ?? state.trace.entries.length;
  const onControl = event.target.closest?.("button, a, summary, input");
  switch (event.key) {
    case "[": act.moveTo(at - 1); return true;
    case "]": act.moveTo(at + 1); return true;
    case "Escape": if (!state.share) return false; act.share(false); return true;
    case "Home": act.moveTo(1); return true;
    case "End": act.moveTo(null); return true;
    case " ": if (onControl) return false; act.play(); return true;
    case "j": case "k": return beside(event.key === "j" ? 1 : -1);
    case "o": {
      const step = document.activeElement?.closest?.("[data-step]");
      if (step) act.toggle(Number(step.dataset.step));
      return Boolean(step);
    }
    default: return false;
  }
}

function beside(way) {
  const steps = [...document.querySelectorAll("[data-step]")];
  const here = steps.indexOf(document.activeElement?.closest?.("[data-step]"));
  const next = steps[here < 0 ? (way > 0 ? 0 : steps.length - 1) : here + way];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

function toggled(set, value) {
  const other = new Set(set);
  if (!other.delete(value)) other.add(value);
  return other;
}

function without(map, key) {
  const other = new Map(map);
  other.delete(key);
  return other;
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
