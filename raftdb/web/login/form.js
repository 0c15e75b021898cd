// Logging in: with a password, for which the node gives this tab a token of its own, or with a token.

import { credentials } from "../credentials.js";
import { fill, h, say, set } from "../dom.js";

const TOKEN_MS = 12 * 3600 * 1000;

// Shows the form in `root`; `done` is called once the tab has a token.
export function showLogin(root, api, done) {
  const user = h("input", { name: "username", autocomplete: "username", required: true, spellcheck: "false", autocapitalize: "none" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: "primary" }, "Log in");
  const form = h("form", { class: "card login" }, h("h1", {}, "Log in"), h("p", { class: "soft" }, "This cluster serves its users only."),
    h("label", {}, "User", user), h("label", {}, "Password, or a token", password), problem, h("div", { class: "buttons" }, go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    set(go, { disabled: true });
    say(go, "Checking…");
    problem.hidden = true;
    try {
      await logIn(api, user.value.trim(), password.value);
      done();
    } catch (error) {
      fill(problem, error.message, error.hint ? `. ${error.hint}` : "");
      problem.hidden = false;
    }
    set(go, { disabled: null });
    say(go, "Log in");
  });
  fill(root, form);
  user.focus();
}

async function logIn(api, user, secret) {
  if (secret.startsWith("raftdb_")) {
    const known = await api.as(`Bearer ${secret}`, "", "GET", "/v1/whoami");
    credentials.keep(secret, known.user);
    return;
  }
  const authorization = `Basic ${base64(`${user}:${secret}`)}`;
  // The page has heard of no node yet, so it asks where the leader is.
  const { id, leader } = await api.as(authorization, "", "GET", "/v1/status");
  if (leader === null) throw new Error("no node leads now: try again in a moment");
  const base = leader.id === id ? "" : `http://${leader.http}`;
  const name = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const path = `/v1/users/${encodeURIComponent(user)}/tokens/${name}`;
  const made = await api.as(authorization, base, "POST", path, { ttl_ms: TOKEN_MS });
  credentials.keep(made.secret, user);
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
