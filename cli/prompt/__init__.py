"""What a person sees and uses at the prompt; the only folder that needs prompt_toolkit.

* `shell` is the loop. `key_bindings`, `pasting`, `completer`, `history` and `patience` are its parts.
* `monitor` watches the cluster and `finder` looks up keys and paths, each in a thread of its own: nothing that may
  wait does so where somebody types.
* `cluster_view` and `status_line` turn what the monitor knows into the prompt and the bar. These two are pure.

Only the interactive shell imports this folder, because loading prompt_toolkit takes longer than a whole script.
"""
