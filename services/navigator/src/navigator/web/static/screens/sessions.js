// The sessions so far, newest first.

import { sessions } from "../api.js";
import { link } from "../routes.js";
import { sessionsPage } from "../views/sessions.js";

export function open(_, app) {
  const state = { found: [], cursor: null, loaded: false, error: null, chosen: [] };
  const act = {
    async more() {
      state.error = null;
      try {
        const page = await sessions.list(state.cursor);
        Object.assign(state, { found: [...state.found, ...page.sessions], cursor: page.next_cursor, loaded: true });
      } catch (error) {
        state.error = app.refused(error);
      }
      app.draw();
    },
    choose(id, yes) {
      state.chosen = yes ? [...state.chosen.filter((other) => other !== id), id].slice(-2) : state.chosen.filter((other) => other !== id);
      app.draw();
    },
    compare: () => app.go(link.compare(...state.chosen)),
  };
  act.more();
  return { view: () => sessionsPage(state, act), title: () => "Sessions" };
}
