"""A job on a million lines of which most are damaged: each has its answer in its place, and memory stays bounded.

    python -m benchmarks.fuzzed_lines [--lines 1000000] [--seed 1]

One line in ten is whole and says its number, which its answer must have at the same place. The others are mutated bytes, nesting 100,000 deep,
huge numbers, NaN, lone surrogates, NUL, duplicate keys, ids of 23 digits, invalid UTF-8, UTF-16, and a few lines of 10 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import golden_version, request

EVERY = 10
"""Every so manieth line is whole."""
_RARE = 10_000
"""One line in so many is large."""

Make = Callable[[random.Random, int], bytes]


def mutated(dice: random.Random, number: int) -> bytes:
    """A whole line with some bytes of it changed, removed or doubled."""
    line = bytearray(whole(number))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(line))
        line[at : at + dice.randint(0, 2)] = bytes(dice.randrange(256) for _ in range(dice.randint(0, 3)))
    return bytes(line)


def whole(number: int) -> bytes:
    """A line that can be answered, and says its number."""
    return b'{"userId":"u%d","number":%d}' % (number % 3, number)


SMALL: tuple[Make, ...] = (
    mutated,
    lambda dice, _: b'{"userId":' + b"9" * dice.choice([23, 400]) + b"}",
    lambda dice, _: b'{"userId":"u1","x":%s}' % dice.choice([b"NaN", b"1e999", b"-Infinity", b"0x1", b"01"]),
    lambda dice, _: b'{"userId":"\\u%x"}' % dice.randint(0xD800, 0xDFFF),
    lambda dice, _: b'{"userId":"u\x00%d"}' % dice.randint(0, 9),
    lambda *_: b'{"userId":"u1","userId":"u2"}',
    lambda dice, _: b'{"userId":"' + bytes(dice.randrange(128, 256) for _ in range(4)) + b'"}',
    lambda *_: '{"userId":"u1"}'.encode("utf-16"),
    lambda dice, _: bytes(dice.randrange(256) for _ in range(dice.randint(1, 40))),
    lambda dice, _: dice.choice([b"[]", b"null", b'""', b"{}", b"{", b"\xef\xbb\xbf{}", b'{"userId":null}', b'{"userId":[1]}']),
)  # fmt: skip
LARGE: tuple[Make, ...] = (
    lambda *_: b'{"userId":' + b"[" * 100_000,
    lambda *_: b'{"userId":"u1","x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
    lambda *_: b'{"userId":"' + b"x" * 10_000_000 + b'"}',
)


def lines(count: int, seed: int) -> Iterator[bytes]:
    """So many lines; none is blank, and none has a newline within."""
    dice = random.Random(seed)
    for number in range(count):
        if number % EVERY == 0:
            yield whole(number)
            continue
        make = dice.choice(LARGE if dice.randrange(_RARE) == 0 else SMALL)
        line = make(dice, number).replace(b"\n", b" ")
        yield line if line.strip() else b"?" + line


def main() -> None:
    """Write the lines, run the job, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), arguments.lines, arguments.seed), indent=2))


def run(folder: Path, count: int, seed: int) -> dict[str, object]:
    """Run a job on fuzzed lines; what was seen."""
    with (folder / "users.json").open("wb") as file:
        file.writelines(line + b"\n" for line in lines(count, seed))
    catalog, started = Catalog(folder / "catalog"), time.monotonic()
    job = request(golden_version(catalog), f"file://{folder}/users.json", f"file://{folder}/out/")
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--catalog", catalog.uri]
    done = subprocess.run([*command, "--request", json.dumps(job)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds, answers = time.monotonic() - started, 0
    with (folder / "out" / "users.json.out").open("rb") as file:
        for number, line in enumerate(file):
            answers += 1
            if number % EVERY == 0:
                told = json.loads(line)
                assert told["input"]["number"] == number, f"line {number} is not in its place"
                assert told["error"] is None
    assert answers == count, f"{answers} answers to {count} lines"
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    size = (folder / "users.json").stat().st_size
    return {
        "lines": count,
        "bytes": size,
        "answers": answers,
        "seconds": round(seconds, 1),
        "peak MB of a process": peak,
        "said": done.stderr.splitlines()[-12:],
    }


if __name__ == "__main__":
    main()
