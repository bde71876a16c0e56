// A session as a worked solution, to read and to print.

import { journal } from "../api.js";
import { traced } from "../trace.js";
import { solutionPage } from "../views/solution.js";

export function open({ id }, app) {
  const state = { id, session: null, error: null };

  async function read() {
    state.error = null;
    try {
      state.session = traced(id, (await journal(id)).entries).session;
    } catch (error) {
      state.error = app.refused(error);
    }
    app.draw();
  }

  read();
  return { view: () => solutionPage(state, read), title: () => "Worked solution" };
}
