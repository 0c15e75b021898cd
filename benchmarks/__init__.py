"""Benchmarks: each module is a program that measures one thing, and prints how to repeat it.

    python -m benchmarks.write_path          # from the top of the project; each takes --help

* `write_path`: writes and reads per second, by number of clients, beside the fsync of the same disk.
* `peers`: the same writes and reads on raftdb, etcd and Redis in turn, with their processor time, memory and disk
  writes.
* `services`: queues, short and with a million messages, and locks, beside etcd's; many that wait for one lock.
* `worst_request`: how long the largest legal requests of each kind hold up a node.
* `overload`: how long an honest client waits, what the nodes take and whether they elect, while others ask for too
  much: idle connections, clients that do not read or send slowly, a pipeline of a million commands, and floods.
* `compaction`, `recovery`, `catch_up`: checkpoints and compactions, a restart, a follower that was away.
* `secured`: what TLS and users take away from writes; `logins`: how long others wait while a node is flooded with them.
* `client_threads`: threads that share one blocking client, compared with a client for each.
* `http_execute`: the HTTP frontend alone, compared with the simplest handlers of its library.
* `redis_execute`: the frontend for Redis clients alone, in processor time for each command.
* `slow_network`: elections and writes over links of up to a second, in network namespaces, as root.
* `evaluation`: a whole report with tables and plots: consistency, throughput while nodes come and go, time over amount
  of data, failover, each also under bad networks (docs/evaluation.md).

The other modules are shared: clusters of processes (`common`, `running`, `peer_systems`), loads (`attackers`,
`strangers`, `honest_client`, `load`, `grpc_load`, `service_load`, `lock_load`, `lock_waiters`, `open_loop`,
`generators` for those of others), profiles (`sampling`, `watched_node`) and tables (`report`, `peer_table`,
`service_rows`). Figures are for comparison within one run on one machine; nothing here is a test, and no test asserts
a duration. After Ctrl-C or a signal a run stops the processes that it started, and removes its folder.
"""
