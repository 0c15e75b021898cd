"""The classic demonstrations, played on a real cluster of processes: `raftdb demo`.

A demonstration is data, a list of steps: a sentence, what is done and at which node, and what is expected of it. One
player plays them all. Nothing here is a client of its own: what is typed goes through the same interpreter as in the
shell, what is killed through the same control as in the shell of `raftdb up`, and the one path of plain HTTP is what
`curl` would do.

* `results`: what a step has shown, and what was expected. Pure.
* `steps`: what a demonstration is made of.
* `actions`: what a step does, and the command that is shown for it.
* `conditions`: what a step waits for. A step never sleeps: on a slow network a condition takes longer, and the player
  says how long.
* `clients`: clients that go on beside the steps; their history is checked by the checker of the simulator.
* `stage`: the cluster as the steps see it: roles such as `leader` instead of ids, which are drawn by each election.
* `elections`: what the nodes tell of votes, for the time line beside the steps.
* `screen`: the terminal, and the recording of it.
* `player`: plays the steps in order, up to the first that is not as expected, and says the verdict.
* `plays`: the demonstrations.
"""

__all__: list[str] = []
