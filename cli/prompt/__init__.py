"""The interactive prompt, which is the only folder that needs prompt_toolkit.

* `shell` is the loop that reads and runs lines. `key_bindings`, `pasting`, `completer`, `history` and `patience` are
  its parts.
* `monitor` watches the cluster and `finder` looks up keys and paths, in threads of their own, so that typing never
  waits.
* `cluster_view` and `status_line` turn the monitor's view into the prompt and the bar. These two are pure.

Only the interactive shell imports this folder, because loading prompt_toolkit takes longer than a whole script.
"""
