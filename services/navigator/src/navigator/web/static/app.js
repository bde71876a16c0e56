// Starts the page: one screen at a time, drawn at most once a frame.

import { h, patch } from "./dom.js";
import { Refused, journal, useKey } from "./api.js";
import { whenFormulasArrive } from "./formulas.js";
import { route } from "./routes.js";
import { shell } from "./views/shell.js";

/** Screens are loaded when they are first gone to. */
const SCREENS = {
  home: () => import("./screens/home.js"),
  sessions: () => import("./screens/sessions.js"),
  session: () => import("./screens/session.js"),
  solution: () => import("./screens/solution.js"),
  compare: () => import("./screens/compare.js"),
  library: () => import("./screens/library.js"),
  template: () => import("./screens/template.js"),
};
/** What a screen reads first is asked for while its modules are still on their way. */
const EARLY = { session: ({ id }) => journal(id) };
const THEME = "reasonflux.theme";
const page = document.getElementById("page");
const state = { asksKey: false, keyRefused: "", theme: localStorage.getItem(THEME) ?? "system", help: false };

let shown = null;
let due = false;

const app = {
  /** Draw again with the next frame. */
  draw() {
    if (due) return;
    due = true;
    const drawn = () => { due = false; draw(); };
    if (document.visibilityState === "hidden") setTimeout(drawn, 200);
    else requestAnimationFrame(drawn);
  },
  /** Go to an address of this page. */
  go(address) {
    history.pushState(null, "", address);
    arrive();
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  },
  /** Say in the address what is shown now, without a new entry in the history. */
  rename(address) {
    history.replaceState(null, "", address);
    shown.at = route(location.href);
    app.draw();
  },
  /** What to show of an error: null when the page deals with it itself. */
  refused(error) {
    if (!(error instanceof Refused)) console.error(error);
    if (error.status === 401) {
      Object.assign(state, { asksKey: true, keyRefused: error.message });
      app.draw();
    }
    return error;
  },
};

const act = {
  enterKey(key, keep) {
    useKey(key, keep);
    Object.assign(state, { asksKey: false, keyRefused: "" });
    if (shown?.screen.again) {
      shown.screen.again(); // what was written there stays
      return app.draw();
    }
    shown = null;
    return arrive();
  },
  askKey(yes) {
    state.asksKey = yes;
    app.draw();
  },
  help(yes) {
    state.help = yes;
    app.draw();
  },
  theme() {
    state.theme = { system: "light", light: "dark", dark: "system" }[state.theme];
    localStorage.setItem(THEME, state.theme);
    dressed();
    app.draw();
  },
};

async function arrive() {
  const at = route(location.href);
  if (shown?.at.screen === at.screen && shown.screen.update?.(at)) {
    shown.at = at;
    return app.draw();
  }
  shown?.screen.close?.();
  const address = location.href;
  const early = EARLY[at.screen]?.(at);
  early?.catch(() => {}); // who waits for it hears of it
  const opened = await SCREENS[at.screen]?.();
  if (address !== location.href) return undefined; // gone on meanwhile
  shown = { at, screen: opened ? opened.open(at, app, early) : { view: missing, title: () => "Not found" } };
  return app.draw();
}

function missing() {
  return [h("h1", null, "There is no such page"), h("p", null, "What is there is in the menu above.")];
}

function draw() {
  if (!shown) return;
  document.title = `${shown.screen.title()} · ReasonFlux`;
  patch(page, shell(state, act, shown.at, shown.screen.view()));
}

function dressed() {
  if (state.theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const address = new URL(anchor.href);
  if (anchor.target || anchor.download || address.origin !== location.origin || anchor.dataset.outside) return;
  if (address.hash && address.pathname === location.pathname) return;
  event.preventDefault();
  app.go(address.pathname + address.search + address.hash);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (writing && writing.type !== "range") return;
  if (event.key === "?") act.help(!state.help);
  else if (event.key === "Escape" && state.help) act.help(false);
  else if (event.key === "/" && document.querySelector("[data-first]")) document.querySelector("[data-first]").focus();
  else if (!shown?.screen.key?.(event)) return;
  event.preventDefault();
});

window.addEventListener("popstate", arrive);
whenFormulasArrive(app.draw);
dressed();
arrive();
