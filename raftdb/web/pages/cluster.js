// The first page: what a person asks first, in words.

import { fill, h } from "../dom.js";

export function open(view) {
  const show = () => {
    const [node] = view.cluster.nodes.values();
    if (view.cluster.problem !== null || node === undefined) {
      fill(view.root, h("p", { class: "notice" }, view.cluster.problem ?? "Asking the node…"));
      return;
    }
    const { id, role, term } = node.status;
    fill(view.root, h("h1", {}, `${id} is ${role} in term ${term}`));
  };
  view.on(view.cluster, "change", show);
  show();
}
