"""How long can one request hold up a node, and is the leader deposed by it?

    python -m benchmarks.worst_request [--only transaction,scan] [--bulk 880000]

On three nodes the largest requests of each kind are sent. The report has the longest turn of the event loop on the
leader and on the slower follower, in milliseconds and in milliseconds of processor time of its thread; the time and the
status of the request; and whether a term has changed. Of several sizes the first that is accepted is measured, so that
versions with other limits can be compared. Nodes and load share the cores.
"""

import argparse
import base64
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

from benchmarks.common import LocalCluster, running_cluster, temporary_folder
from benchmarks.report import Report, add_common_options

REFUSED = (413, 422)
"""After these statuses (too large, or too much work) a smaller size is tried."""
SETTLE_S = 1.5
"""The wait after a request, in which followers apply it, and a leader that was too busy is deposed."""
ASK_LIMIT_S = 120.0
MIB = 1 << 20
SESSION = "aa" * 16


class Answer(NamedTuple):
    """The status of an answer (0: none came), its length, and its beginning if it is an error."""

    status: int
    length: int
    error: str = ""


class Request(NamedTuple):
    """A request; `path` contains the query, and without a `body` it is a GET."""

    path: str
    body: object = None
    method: str | None = None


def ask(cluster: LocalCluster, request: Request) -> Answer:
    """Send one request to the leader, and once more if it is redirected."""
    content, status = b"", 0
    for _ in range(2):
        host, _, port = cluster.addresses[cluster.leader()].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=ASK_LIMIT_S)
        method = request.method or ("GET" if request.body is None else "POST")
        body = None if request.body is None else json.dumps(request.body).encode()
        try:
            connection.request(method, request.path, body)
            answer = connection.getresponse()
            content, status = answer.read(), answer.status
            if status != 307:
                break
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, 0, type(error).__name__)
        finally:
            connection.close()
    short = "" if status < 300 else content[:160].decode(errors="replace")
    return Answer(status, len(content), short)


def done(cluster: LocalCluster, request: Request) -> None:
    """Send a request that prepares others. Raises RuntimeError if it fails."""
    answer = ask(cluster, request)
    if answer.status != 200:
        raise RuntimeError(f"{request.path} answered {answer.status}: {answer.error}")


def execute(command: str, *args: object) -> Request:
    """One command."""
    return Request("/v1/execute", {"command": command, "args": list(args)})


def transaction(commands: Sequence[tuple[str, list[str]]]) -> Request:
    """Several commands as one transaction."""
    return Request(
        "/v1/transaction", {"commands": [{"command": name, "args": args} for name, args in commands]}
    )


def blob(size: int) -> dict[str, str]:
    """Random bytes, as JSON."""
    return {"base64": base64.b64encode(os.urandom(size)).decode()}


class Kind(NamedTuple):
    """A kind of request. `sizes` are tried in order until one is accepted; `requests` makes the requests of a size,
    which are sent at the same time."""

    name: str
    sizes: Sequence[int]
    requests: Callable[[int], list[Request]]
    prepare: Callable[[LocalCluster], None] | None = None
    settle_s: float = SETTLE_S


def once(request: Request, *, times: int = 1) -> Callable[[int], list[Request]]:
    """The same request for any size, `times` times."""
    return lambda size: [request] * times


def sets(count: int, *options: str, prefix: str = "t") -> list[tuple[str, list[str]]]:
    """`count` commands `set`."""
    return [("set", [f"{prefix}{number:06}", "v" * 16, *options]) for number in range(count)]


def sets_and_scans(count: int) -> list[tuple[str, list[str]]]:
    """`count` commands `set`, and a `scan` after each."""
    pairs = [[("set", [f"s{number:06}", "v"]), ("scan", ["s", "", "1"])] for number in range(count)]
    return [command for pair in pairs for command in pair]


def mset(prefix: str, count: int, value: object = "v") -> Request:
    """An `mset` of `count` keys."""
    return execute("mset", *(part for number in range(count) for part in (f"{prefix}{number:06}", value)))


def grow(key: str, *, until: int) -> Callable[[LocalCluster], None]:
    """Append zero bytes, a MiB at a time, until the value has `until` bytes or is as long as it may be."""

    def prepare(cluster: LocalCluster) -> None:
        ask(cluster, execute("del", key))
        zeros = {"base64": base64.b64encode(bytes(MIB - 64)).decode()}
        for _ in range(until // MIB):
            if ask(cluster, execute("append", key, zeros)).status != 200:
                return

    return prepare


def many_keys(prefix: str, count: int, value_bytes: int) -> Callable[[LocalCluster], None]:
    """Write `count` keys."""

    def prepare(cluster: LocalCluster) -> None:
        per_command = min(2_000, 2 * MIB // (value_bytes + 16))
        for first in range(0, count, per_command):
            numbers = range(first, min(first + per_command, count))
            flat = [text for number in numbers for text in (f"{prefix}{number:07}", "v" * value_bytes)]
            done(cluster, execute("mset", *flat))

    return prepare


def several(count: int, make: Callable[[int], Request]) -> Callable[[LocalCluster], None]:
    """Send `count` requests, one after the other."""

    def prepare(cluster: LocalCluster) -> None:
        for number in range(count):
            done(cluster, make(number))

    return prepare


def kept_answers(cluster: LocalCluster) -> None:
    """Make a session with a thousand answers that are not acknowledged."""
    done(cluster, Request("/v1/sessions", {"id": SESSION}))
    for sequence in range(1, 1_001):
        place = {"id": SESSION, "seq": sequence, "acknowledged": 1}
        done(cluster, Request("/v1/execute", {"command": "incr", "args": ["n"], "session": place}))


def bulk_of(keys: int) -> Callable[[LocalCluster], None]:
    """Write `keys` new keys with random names."""

    def scattered(number: int) -> Request:
        return execute("mset", *(text for _ in range(4_000) for text in (os.urandom(8).hex(), "v")))

    return several(keys // 4_000, scattered)


def deleted(cluster: LocalCluster) -> None:
    """Write 20,000 keys, make them durable, and delete them."""
    many_keys("d", 20_000, 16)(cluster)
    done(cluster, Request("/v1/snapshot", {}))
    for first in range(0, 20_000, 2_000):
        keys = [f"d{number:07}" for number in range(first, first + 2_000)]
        done(cluster, transaction([("del", [key]) for key in keys]))


def enqueues(queue: str, count: int, value_bytes: int) -> Request:
    """A transaction that puts `count` messages."""
    return transaction([("enqueue", [queue, "v" * value_bytes])] * count)


def of_queues() -> Iterator[Kind]:
    """Kinds that work on messages of queues."""
    yield Kind("transaction of enqueues", [512], lambda n: [enqueues("q", n, 16)])
    receive = Kind("receive of 100 x 40 KB", [100], lambda n: [execute("receive", "big", "COUNT", str(n))])
    yield receive._replace(prepare=several(10, lambda _: enqueues("big", 20, 40_000)))
    purge = Kind("purge of 20,000 messages", [1], once(execute("purge", "many")))
    yield purge._replace(prepare=several(40, lambda _: enqueues("many", 500, 16)))


def writes() -> Iterator[Kind]:
    """Kinds that become an entry of the log."""
    yield from of_queues()
    yield Kind("nothing", [1], once(execute("ping")))
    yield Kind("body of 4 MiB", [4], lambda n: [mset("b", n, blob(MIB - 64))])
    yield Kind("transaction of sets", [60_000, 2_048], lambda n: [transaction(sets(n))])
    yield Kind("the same, expiring", [60_000, 2_048], lambda n: [transaction(sets(n, "PX", "9000000"))])
    yield Kind("transaction of scans", [5_000, 500], lambda n: [transaction(sets_and_scans(n))])
    appends = Kind(
        "transaction of appends", [400, 2], lambda n: [transaction([("append", ["long", "x"])] * n)]
    )
    yield appends._replace(prepare=grow("long", until=3 * MIB))
    yield Kind("mset", [16_384, 4_096], lambda n: [mset("m", n)])
    yield Kind("several at once", [16_384, 4_096], lambda n: [mset(f"m{number}", n) for number in range(8)])
    ended = Request("/v1/sessions/" + SESSION, None, "DELETE")
    yield Kind("1,000 answers of a session end", [1], once(ended), kept_answers)
    expiring = several(9, lambda number: transaction(sets(2_000, "PX", "4000", prefix=f"e{number}")))
    last = once(transaction(sets(2_000, "PX", "4000", prefix="e9")))
    yield Kind("20,000 keys end at once", [1], last, expiring, settle_s=7.0)


def reads() -> Iterator[Kind]:
    """Kinds that are reads, several at a time."""
    yield Kind("mget", [16_384, 4_096], lambda n: [execute("mget", *(f"m{i:06}" for i in range(n)))] * 4)
    yield Kind(
        "longest value", [1], once(execute("get", "longest"), times=4), grow("longest", until=16 * MIB)
    )
    page = once(Request("/v1/keys?prefix=p&limit=1000"), times=4)
    yield Kind("page of keys and values", [1], page, many_keys("p", 1_000, 4_000))
    yield Kind("keys", [1], once(execute("keys", "k"), times=4), many_keys("k", 9_999, 8))
    yield Kind("scan over what is deleted", [1], once(execute("scan", "d", "", "1"), times=4), deleted)
    log = once(Request("/v1/request_log?limit=1000"))
    yield Kind("page of the log", [1], log, several(20, lambda number: transaction(sets(2_000))))


def after_much(bulk: int) -> Iterator[Kind]:
    """Kinds after very many new keys."""
    counted = [execute("dbsize"), execute("scan", "", "", "1")]
    yield Kind("scan after a bulk load", [1], lambda n: counted, bulk_of(bulk))
    yield Kind(
        "election after a bulk load", [1], once(Request("/v1/leader/transfer", {})), bulk_of(bulk // 2)
    )
    yield Kind("backup", [1], once(Request("/v1/backup")))


def longest(cluster: LocalCluster, name: str, begin: float, end: float) -> tuple[float, float]:
    """The longest turn of a node's loop that began in a time, in milliseconds, and the longest in processor time."""
    found = [(0.0, 0.0)]
    file = cluster.folder / f"{name}.stalls"
    for line in file.read_text().splitlines() if file.exists() else ():
        began, milliseconds, had_ms = map(float, line.split())
        if begin <= began <= end:
            found.append((milliseconds, had_ms))
    return max(wall for wall, _ in found), max(had for _, had in found)


def terms(cluster: LocalCluster) -> int:
    """The highest term of any node."""
    return max(int(cluster.status(name).get("term", 0)) for name in cluster.addresses)


def at_once(cluster: LocalCluster, requests: list[Request]) -> list[Answer]:
    """The answers to requests that are sent at the same time."""
    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(lambda request: ask(cluster, request), requests))


def measure(cluster: LocalCluster, kind: Kind) -> dict[str, Any]:
    """Prepare, then send the requests of a kind, and measure."""
    if kind.prepare is not None:
        kind.prepare(cluster)
        time.sleep(SETTLE_S)
    size, *smaller = kind.sizes
    requests = kind.requests(size)
    leader, term, begin = cluster.leader(), terms(cluster), time.monotonic()
    answers = at_once(cluster, requests)
    request_ms = (time.monotonic() - begin) * 1000
    if smaller and any(answer.status in REFUSED for answer in answers):
        return measure(cluster, kind._replace(sizes=smaller, prepare=None))
    time.sleep(kind.settle_s)
    end = time.monotonic()
    followers = [longest(cluster, name, begin, end) for name in cluster.addresses if name != leader]
    return {
        "kind": kind.name,
        "size": size,
        "leader_ms": longest(cluster, leader, begin, end),
        "follower_ms": (max(wall for wall, _ in followers), max(had for _, had in followers)),
        "request_ms": request_ms,
        "status": sorted({answer.status for answer in answers}),
        "errors": sorted({answer.error for answer in answers if answer.error}),
        "terms": (term, terms(cluster)),
    }


def told(row: dict[str, Any]) -> str:
    """A row of the table."""
    leader, follower, before = row["leader_ms"], row["follower_ms"], row["terms"]
    term = "" if before[0] == before[1] else f"  term {before[0]} -> {before[1]}"
    status = ",".join(map(str, row["status"]))
    return (
        f"{row['kind']:32}{row['size'] if row['size'] > 1 else '':>7} {leader[0]:8.1f} {leader[1]:8.1f} "
        f"{follower[0]:8.1f} {follower[1]:8.1f} {row['request_ms']:9.0f}  {status}{term}"
    )


def main() -> None:
    """Measure all kinds, one after the other, on one cluster."""
    parser = argparse.ArgumentParser(description="The longest turn of the loop for the largest requests.")
    add_common_options(parser, plots=False)
    parser.add_argument("--only", default="", help="kinds with one of these words in their names")
    parser.add_argument("--bulk", type=int, default=400_000, help="keys of the bulk load")
    options = parser.parse_args()
    words = [word for word in options.only.split(",") if word]
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        report.say("                                                 leader             follower")
        report.say(
            f"{'kind':32}{'size':>7} {'ms':>8} {'cpu ms':>8} {'ms':>8} {'cpu ms':>8} {'request':>9}  status"
        )
        rows = []
        with running_cluster(folder, nodes=3, module="benchmarks.watched_node") as cluster:
            for kind in chain(writes(), reads(), after_much(options.bulk)):
                if not words or any(word in kind.name for word in words):
                    rows.append(measure(cluster, kind))
                    report.say(told(rows[-1]))
        report.finish({"rows": rows})


if __name__ == "__main__":
    main()
