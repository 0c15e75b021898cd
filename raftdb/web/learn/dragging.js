// Servers that are dragged out of the ring of a stage, and back: who stands outside is cut off from those inside.

import { set } from "../dom.js";

// A server that is dropped within this distance of its place is back in it.
const HOME = 70;

export class Dragging {
  // `mayDrag` says whether servers may be moved now; `onDrop` gets the ids of those that stand outside after a move.
  constructor(stage, mayDrag, onDrop) {
    this.stage = stage;
    this.mayDrag = mayDrag;
    this.onDrop = onDrop;
    this.out = new Set();
    this.held = null;
    const { picture } = stage;
    picture.addEventListener("pointerdown", (event) => this.#take(event));
    picture.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, (event) => this.#drop(event));
  }

  // Everybody is back in the ring.
  home() {
    if (this.held !== null) return;
    for (const id of this.out) this.stage.place(id, ...this.stage.homeOf(id));
    this.out.clear();
  }

  #take(event) {
    const id = this.stage.idAt(event.target);
    if (id === null || !this.mayDrag()) return;
    event.preventDefault();
    this.stage.picture.setPointerCapture(event.pointerId);
    this.held = { id, pointer: event.pointerId, hasMoved: false };
  }

  #move(event) {
    if (this.held?.pointer !== event.pointerId) return;
    this.held.hasMoved = true;
    const matrix = this.stage.picture.getScreenCTM();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    this.stage.place(this.held.id, ...this.stage.within(x, y));
  }

  #drop(event) {
    if (this.held?.pointer !== event.pointerId) return;
    const { id, hasMoved } = this.held;
    this.held = null;
    if (!hasMoved) return;
    const [x, y] = this.stage.placeOf(id);
    const [homeX, homeY] = this.stage.homeOf(id);
    const isHome = Math.hypot(x - homeX, y - homeY) < HOME;
    if (isHome) this.stage.place(id, homeX, homeY);
    const wasOut = this.out.has(id);
    this.out[isHome ? "delete" : "add"](id);
    if (wasOut === isHome) this.onDrop([...this.out]);
  }
}

// Shows that servers can be dragged.
export function showGrip(stage, isOn) {
  set(stage.picture, { class: isOn ? "ring grips" : "ring" });
}
