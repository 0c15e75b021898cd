// The frame around all pages: the navigation, the theme, and the router that opens and leaves pages.
//
// The table of pages is the navigation, which the node has filled in (raftdb/web/__init__.py). Going from one page to
// another does not load the document anew, so that what was heard of the nodes stays.

import { Api } from "./api.js";
import { Cluster } from "./cluster.js";
import { credentials } from "./credentials.js";
import { fill, h, say, set, shown } from "./dom.js";

const root = document.getElementById("page");
const links = [...document.querySelectorAll("nav a[data-module]")];
credentials.take();
const cluster = new Cluster();
const api = new Api({
  mode: document.documentElement.dataset.dashboard,
  bases: () => cluster.bases(),
  leader: () => cluster.leaderBase(),
});
let current = null;

// What a page gets; see raftdb/web/__init__.py.
class View {
  constructor(page, parameters) {
    this.page = page;
    this.root = h("div", { class: `page page-${page}` });
    this.cluster = cluster;
    this.api = api;
    this.parameters = parameters;
    this.query = new URLSearchParams(location.search);
    this.ending = new AbortController();
    this.signal = this.ending.signal;
    this.go = go;
  }

  on(target, name, listener) {
    target.addEventListener(name, listener, { signal: this.signal });
  }

  // Calls `f` every so often while the page is there and seen.
  every(milliseconds, f) {
    const timer = setInterval(() => document.hidden || f(), milliseconds);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }
}

function found(path) {
  for (const link of links) {
    const pattern = link.getAttribute("href").split("/");
    const segments = path.split("/");
    if (pattern.length !== segments.length) continue;
    const parameters = {};
    const fits = pattern.every((part, place) => {
      if (!part.startsWith("{")) return part === segments[place];
      parameters[part.slice(1, -1)] = decoded(segments[place]);
      return segments[place] !== "";
    });
    if (fits) return { link, parameters };
  }
  return null;
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export function go(path) {
  history.pushState(null, "", path);
  open();
}

async function open() {
  const place = found(location.pathname);
  current?.ending.abort();
  if (place === null) {
    current = null;
    fill(root, h("p", { class: "notice" }, "There is no such page here."));
    return;
  }
  const module = place.link.dataset.module;
  for (const link of links) set(link, { "aria-current": link.dataset.module === module ? "page" : null });
  document.title = `${place.link.textContent} · raftdb`;
  const view = (current = new View(module, place.parameters));
  try {
    const { open: opened } = await import(`./pages/${module}.js`);
    if (view.signal.aborted) return;
    fill(root, view.root);
    const leave = await opened(view);
    if (typeof leave === "function") {
      if (view.signal.aborted) leave();
      else view.signal.addEventListener("abort", leave);
    }
  } catch (error) {
    console.error(error);
    fill(root, h("p", { class: "notice bad" }, `This page failed: ${error.message}`));
  }
}

// Links of this document are gone to without loading it anew, unless another tab or window was asked for.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (link === null || !plain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash || found(url.pathname) === null) return;
  event.preventDefault();
  if (url.pathname + url.search !== location.pathname + location.search) go(url.pathname + url.search);
  root.focus({ preventScroll: true });
});
addEventListener("popstate", open);

// Nodes that have users serve nobody else: then people are asked who they are, whatever page they are at.
const userButton = document.getElementById("user");

function sayUser() {
  userButton.hidden = !credentials.user;
  say(userButton, `Log out ${shown(credentials.user ?? "", 24)}`);
}

let isAsking = false;
credentials.addEventListener("refused", async () => {
  if (isAsking) return;
  isAsking = true;
  current?.ending.abort();
  current = null;
  const { showLogin } = await import("./login/form.js");
  showLogin(root, api, () => {
    isAsking = false;
    sayUser();
    open();
  });
});
userButton.addEventListener("click", () => {
  credentials.keep(null, null);
  location.assign("/");
});
sayUser();

const themeButton = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
}

function sayTheme() {
  say(themeButton, isDark() ? "Light" : "Dark");
  themeButton.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
}

themeButton.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("raftdb-theme", theme);
  } catch {
    // Then the choice lasts until the page is loaded anew.
  }
  sayTheme();
});
dark.addEventListener("change", sayTheme);
sayTheme();

// For people with the browser's console, and for tests.
globalThis.raftdbCluster = cluster;
cluster.start();
open();
