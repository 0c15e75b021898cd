// Puts the chosen theme on the document before anything is painted. Without a choice the system's one counts.
"use strict";

{
  let chosen = null;
  try {
    chosen = localStorage.getItem("raftdb-theme");
  } catch {
    // A browser may forbid storage; then there is no choice.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
