// A template library: by field, type and tag, by use, and by what is looked for.

import { libraries } from "../api.js";
import { link } from "../routes.js";
import { libraryPage } from "../views/library.js";

const PATIENCE_MS = 250;

export function open(at, app) {
  const state = { library: at.library, asked: at.asked, libraries: [], cards: null, use: new Map(), counted: 0, found: null, error: null, shown: 60 };
  let timer = 0;
  let latest = 0;

  const act = {
    /** Ask for something else: it stands in the address. */
    ask(change) {
      state.asked = { ...state.asked, ...change };
      state.shown = 60;
      app.rename(link.library(state.library, state.asked));
      if ("q" in change || state.asked.q) later("q" in change ? PATIENCE_MS : 0);
    },
    more() {
      state.shown += 120;
      app.draw();
    },
    choose: (name) => app.go(link.library(name)),
    read,
  };

  function later(patience) {
    clearTimeout(timer);
    timer = setTimeout(search, patience);
  }

  async function search() {
    const turn = (latest += 1);
    const { q, field, type } = state.asked;
    if (!q?.trim()) {
      state.found = null;
      return app.draw();
    }
    try {
      const found = await libraries.search(state.library, { q, field, type, limit: 30 });
      if (turn === latest) Object.assign(state, { found, error: null });
    } catch (error) {
      if (turn === latest) state.error = app.refused(error);
    }
    return app.draw();
  }

  async function read() {
    state.error = null;
    try {
      state.libraries = await libraries.all();
      state.library ||= state.libraries[0]?.name ?? "";
      state.cards = await libraries.cards(state.library);
      app.draw();
      if (state.asked.q) search();
      const { templates, sessions } = await libraries.use(state.library);
      Object.assign(state, { use: new Map(templates.map((one) => [one.template_id, one])), counted: sessions });
    } catch (error) {
      state.error = app.refused(error);
    }
    app.draw();
  }

  read();
  return {
    view: () => libraryPage(state, act),
    title: () => `Library ${state.library}`,
    update(next) {
      if (next.screen !== "library" || (next.library && next.library !== state.library)) return false;
      state.asked = next.asked;
      later(0);
      return true;
    },
    close: () => clearTimeout(timer),
  };
}
