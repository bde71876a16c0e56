// Where a problem is asked.

import { engines, libraries, sessions } from "../api.js";
import { link } from "../routes.js";
import { homePage } from "../views/home.js";

const EFFORT = "reasonflux.effort";

export function open({ asked }, app) {
  const state = {
    problem: asked.problem ?? "",
    library: "",
    libraries: [],
    engine: "",
    engines: [],
    effort: localStorage.getItem(EFFORT) ?? "medium",
    retrieve: true,
    review: true,
    horizon: "",
    busy: false,
    error: null,
    recent: null,
  };

  const act = {
    change(change) {
      Object.assign(state, change);
      if (change.effort) localStorage.setItem(EFFORT, change.effort);
      app.draw();
    },
    async ask() {
      if (!state.problem.trim() || state.busy) return;
      act.change({ busy: true, error: null });
      try {
        const { problem, effort, retrieve, review } = state;
        const chosen = { ...(state.library ? { library: state.library } : {}), ...(state.engine ? { engine: state.engine } : {}) };
        const horizon = Number(state.horizon) || null;
        const started = await sessions.create({ problem, effort, retrieve, review, horizon, ...chosen });
        app.go(link.session(started.id));
      } catch (error) {
        act.change({ busy: false, error: app.refused(error) });
      }
    },
  };

  function load() {
    state.error = null;
    libraries.all().then((found) => act.change({ libraries: found, library: found[0]?.name ?? "" })).catch(app.refused);
    engines().then((found) => act.change({ engines: found, engine: found[0] ?? "" })).catch(app.refused);
    sessions.list().then(({ sessions: found }) => act.change({ recent: found.slice(0, 6) })).catch(app.refused);
  }

  load();
  return { again: load, view: () => homePage(state, act), title: () => "Ask" };
}
