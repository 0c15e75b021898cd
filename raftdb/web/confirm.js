// Asking before something is done that matters: what it means, with the arithmetic, and a name that has to be typed.

import { fill, h, say } from "./dom.js";

// Opens a dialog. `explain` is shown as a list; `fields` are inputs, {name, label, value?, placeholder?}; with `typed`
// that text has to be typed; `act(values)` does it, and what it throws is shown. Resolves to what `act` returned, or to
// null if nothing was done.
export function confirm({ title, explain = [], fields = [], typed = null, button, act }) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ name, label, value = "", placeholder = "" }) => {
      const input = h("input", { name, value, placeholder, autocomplete: "off", spellcheck: "false", required: true });
      return [name, input, h("label", {}, label, input)];
    });
    const check = h("input", { name: "typed", autocomplete: "off", spellcheck: "false" });
    const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    const go = h("button", { class: "primary", type: "submit" }, button);
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", {}, title),
      h("ul", { class: "explain" }, explain.map((line) => h("li", {}, line))),
      inputs.map(([, , label]) => label),
      typed === null ? null : h("label", {}, "Type ", h("strong", { class: "mono" }, typed), " to go on", check),
      problem,
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Leave it"), go),
    );
    const dialog = h("dialog", { "aria-label": title }, form);
    let result = null;
    const isReady = () => (typed === null || check.value.trim() === typed) && inputs.every(([, input]) => input.value.trim());
    const look = () => (go.disabled = !isReady());
    form.addEventListener("input", look);
    look();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!isReady()) return;
      go.disabled = true;
      say(go, "Working…");
      problem.hidden = true;
      try {
        result = (await act(Object.fromEntries(inputs.map(([name, input]) => [name, input.value.trim()])))) ?? true;
        dialog.close();
      } catch (error) {
        fill(problem, error.message, error.hint ? `. ${error.hint}` : "");
        problem.hidden = false;
        say(go, button);
        look();
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
