// Building elements. Text goes into the document as text nodes only, so that no data is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

// An element: h("button", {class: "quiet", onclick: f}, "Stop"). Names that begin with `on` are listeners, `data` is an
// object of data attributes, true is an attribute without a value, and null or false is left out.
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// The same for an element of SVG.
export function s(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

// Adds elements and texts; lists are added item by item, and null and false are left out.
export function add(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

// Replaces what is in an element.
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

// Sets the text of an element, and leaves the document alone if it has that text already.
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

// Sets attributes, as `h` does, and touches only those that differ.
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

// Text in which everything that would not be seen is: control characters, and those that change the direction or the
// joining of what is around them.
export function shown(text, charactersMax = 200) {
  const escaped = String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\uffff]/g,
    (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0"),
  );
  return escaped.length > charactersMax ? escaped.slice(0, charactersMax - 1) + "…" : escaped;
}
