"""An evaluation of raftdb in the manner of a student's report on a replicated store: one command, a report, plots.

    python -m benchmarks.evaluation --quick                 # some minutes
    python -m benchmarks.evaluation --output data/report    # everything, some hours
    python -m benchmarks.evaluation --only a,d --seed 7     # some parts

| part | what is measured |
|---|---|
| a | consistency: loads with and without faults, whose histories are checked, and the nodes' states compared |
| b | throughput and latency while nodes are added and removed, and the dip at each change |
| c | time over amount of data: writing, replicating, recovering, catching up; memory and disk |
| d | failover: how long nobody leads, and nothing is written, after the leader was killed |
| e | the same under other networks, set as in `docs/network.md` |

`plan` says what is measured, `consistency`, `membership`, `amounts` and `failover` measure it on a `stage`, `load`
writes meanwhile, `summaries` makes figures of samples, and `document` and `plots` make a report of these. A report says
what was not measured, and what does not hold, before anything else. Nothing here is drawn that is not in a table, too:
without matplotlib (the extra `bench`) the report has no pictures, and lacks nothing else.

The nodes are started by `cli.local`, as `raftdb up` starts them, with their default settings, and part a is
`raftdb torture`; so nothing is measured here that a user could not have.
"""
