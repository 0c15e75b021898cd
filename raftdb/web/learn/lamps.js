// The safety properties of Raft as lamps: a round one is lit while the property holds, a triangle says that it is broken,
// and points at what shows it.

import { fill, h, s } from "../dom.js";
import { WARNING } from "./stage.js";

export class Lamps {
  // `properties` are name -> sentence; `onPick` gets the broken promise that was chosen.
  constructor(properties, onPick) {
    this.properties = properties;
    this.onPick = onPick;
    this.list = h("ul", { class: "lamps" });
    this.root = h("section", { class: "card", "aria-label": "What Raft promises" }, h("h2", {}, "What Raft promises"), this.list);
    this.drawn = null;
  }

  // Shows what does not hold: marks of kind `broken`. `pointed` is the one that the picture points at.
  show(broken, pointed) {
    const key = JSON.stringify([broken.map((one) => one.name), pointed?.name]);
    if (key === this.drawn) return;
    this.drawn = key;
    const others = broken.filter((one) => this.properties[one.name] === undefined).map((one) => [one.name, "a read has what was written before it"]);
    fill(this.list, [...Object.entries(this.properties), ...others].map(([name, words]) => this.#lamp(name, words, broken.find((one) => one.name === name), pointed)));
  }

  #lamp(name, words, violation, pointed) {
    if (violation === undefined) return h("li", { class: "lamp" }, light(false), h("span", {}, h("strong", {}, title(name)), h("span", { class: "soft" }, ` holds: ${words}`)));
    const isPointed = violation === pointed;
    const button = h("button", { type: "button", "aria-pressed": String(isPointed), onclick: () => this.onPick(violation) }, isPointed ? "shown in the picture" : "show where");
    return h("li", { class: "lamp broken" }, light(true), h("span", {}, h("strong", {}, `${title(name)} is broken`), ` (${words}): ${violation.text} `, button));
  }
}

function light(isBroken) {
  const drawing = isBroken
    ? [s("path", { d: WARNING }), s("path", { class: "sign", d: "M0 -6V3M0 6V7" })]
    : [s("circle", { r: 9 }), s("path", { class: "sign", d: "M-4 0L-1 3.5L4.5 -3.5" })];
  return s("svg", { viewBox: "-15 -15 30 30", width: 22, height: 22, "aria-hidden": "true" }, drawing);
}

function title(name) {
  return name[0].toUpperCase() + name.slice(1);
}
