// One template: what it says, how it came to be, and the sessions that followed it.

import { libraries } from "../api.js";
import { templatePage } from "../views/template.js";

export function open(at, app) {
  const { library, id } = at;
  const state = { library, id, revision: at.asked.revision ?? "", template: null, changes: [], sessions: null, error: null };

  async function read() {
    state.error = null;
    try {
      state.template = await libraries.template(library, id, state.revision);
      app.draw();
      const [{ changes }, sessions] = await Promise.all([libraries.history(library, id), libraries.sessions(library, id)]);
      Object.assign(state, { changes, sessions });
    } catch (error) {
      state.error = app.refused(error);
    }
    app.draw();
  }

  read();
  return { view: () => templatePage(state, read), title: () => state.template?.name ?? "Template" };
}
