// Real addresses: what is shown can be linked, reloaded and gone back to.

/** Which screen an address names, with its parameters. Pure. */
export function route(url) {
  const { pathname, searchParams } = new URL(url, "http://page");
  const parts = pathname.split("/").filter(Boolean).map(decodePart);
  const asked = Object.fromEntries(searchParams);
  const [first, second, third] = parts;
  if (!parts.length) return { screen: "home", asked };
  if (first === "sessions" && second && third === "solution") return { screen: "solution", id: second, asked };
  if (first === "sessions" && second) return { screen: "session", id: second, asked };
  if (first === "sessions") return { screen: "sessions", asked };
  if (first === "compare") return { screen: "compare", left: second ?? "", right: third ?? "", asked };
  if (first === "library" && third) return { screen: "template", library: second, id: third, asked };
  if (first === "library") return { screen: "library", library: second ?? "", asked };
  return { screen: "missing", asked };
}

function decodePart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const path = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

export const link = {
  home: "/",
  sessions: "/sessions",
  session: (id, at) => path("sessions", id) + (at ? `?at=${at}` : ""),
  solution: (id) => path("sessions", id, "solution"),
  compare: (left = "", right = "") => path(...["compare", left, right].filter(Boolean)),
  library: (name, asked = {}) => {
    const said = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    return path(...["library", name].filter(Boolean)) + (said.size ? `?${said}` : "");
  },
  template: (name, id, revision) => path("library", name, id) + (revision ? `?revision=${revision}` : ""),
};
