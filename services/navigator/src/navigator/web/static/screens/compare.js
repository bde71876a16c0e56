// Two sessions side by side, each live while it runs.

import { follow, journal, sessions } from "../api.js";
import { link } from "../routes.js";
import { blank, tell } from "../trace.js";
import { comparePage } from "../views/compare.js";

export function open(at, app) {
  const stop = new AbortController();
  const state = { sides: [side(at.left), side(at.right)], recent: null, error: null };
  const act = {
    pick(place, id) {
      const ids = state.sides.map((one) => one.id);
      ids[place] = id;
      if (ids[0] || !ids[1]) app.go(link.compare(...ids));
      else app.go(link.compare(ids[1], ""));
    },
    swap: () => app.go(link.compare(state.sides[1].id, state.sides[0].id)),
  };

  async function read(own) {
    try {
      const known = await journal(own.id);
      for (const entry of known.entries) own.trace = tell(own.trace, entry);
      app.draw();
      if (known.finished) return;
      await follow(own.id, own.trace.entries.length, {
        signal: stop.signal,
        onEntry(entry) { own.trace = tell(own.trace, entry); app.draw(); },
        onDelta() {},
        onLine() {},
      });
    } catch (error) {
      if (stop.signal.aborted) return;
      own.error = app.refused(error);
      app.draw();
    }
  }

  for (const own of state.sides) if (own.id) read(own);
  if (!at.left || !at.right) {
    sessions.list().then(({ sessions: found }) => { state.recent = found; app.draw(); }).catch((error) => { state.error = app.refused(error); app.draw(); });
  }
  return { view: () => comparePage(state, act), title: () => "Compare", close: () => stop.abort() };
}

function side(id) {
  return { id, trace: blank(id), error: null };
}
