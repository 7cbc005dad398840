"""The tables and the picture of README and of the documents, written from the results.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from personalize_spark.quality.charts import BLUE, GREEN, ORANGE, Bar, bars

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks: written by python -m benchmarks.report -->", "<!-- end of benchmarks -->"
END_TO_END = ("endtoend.json", "endtoend-100000.json")
COLOURS = {"Spark ML ALS": ORANGE, "implicit + orjson": BLUE}
"""Of the peers; what is ours is green."""
PICTURE = "![lines a second, beside Spark ML ALS and implicit](../benchmarks/results/endtoend.svg)"


def main() -> None:
    """Draw the picture, and put the tables between the two marks of each document."""
    results = ROOT / "benchmarks" / "results"
    (results / "endtoend.svg").write_text(picture(results))
    for name, written in documents(results).items():
        path = ROOT / name
        head, _, rest = path.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        path.write_text(f"{head}{BEGIN}\n\n{written}\n{END}{tail}")


def documents(results: Path) -> dict[str, str]:
    """What stands between the marks of each document: one table in README, all that compare in docs/performance.md."""
    return {
        "README.md": _end_to_end(json.loads((results / END_TO_END[0]).read_text())),
        "docs/performance.md": section(results),
        "docs/sizing.md": _estimates(json.loads((results / "estimates.json").read_text())),
    }


def picture(results: Path) -> str:
    """Lines a second from JSON to JSON, a bar for each contender, as SVG."""
    found = [json.loads(each.read_text()) for name in END_TO_END if (each := results / name).exists()]
    return bars([_contenders(each) for each in found], 212, 500)


def _contenders(result: dict[str, Any]) -> tuple[str, list[Bar]]:
    work, rates = result["work"], result["lines per second, second job"].items()
    shown = [
        Bar(rate, name, f"{rate:,} lines/s", COLOURS.get(name, GREEN), f"{name}: {rate:,} lines a second")
        for name, rate in rates
    ]
    return f"{work['lines']:,} lines x {work['items']:,} items", shown


def section(results: Path) -> str:
    """The picture and all tables, from the files that are there."""
    parts = [
        *((results / name, _end_to_end) for name in END_TO_END),
        (results / "topn.json", _top_n),
        (results / "task.json", _task),
        (results / "filters.json", _filters),
        (results / "scale.json", _scale),
        (results / "extremes.json", _extremes),
        (results / "quality.json", _quality),
    ]
    tables = "\n".join(table(json.loads(path.read_text())) for path, table in parts if path.exists())
    return f"{PICTURE}\n\n{tables}"


def _end_to_end(result: dict[str, Any]) -> str:
    work, seconds = result["work"], result["seconds"]
    rows = [
        f"| {name} | {seconds[name]['second job']} s | {round(work['lines'] / seconds[name]['second job']):,} | {_times(result, name)} |"
        for name in result["lines per second, second job"]
    ]
    title = f"JSON lines in, JSON lines out: {work['lines']:,} lines x {work['items']:,} items, {work['cores']} cores, the second job of a session."
    return "\n".join(
        [title, "", "| | seconds | lines a second | times as long as ours |", "|---|---|---|---|", *rows, ""]
    )


def _times(result: dict[str, Any], name: str) -> str:
    ratios = result["times as fast"]
    return f"{ratios[name]['second job']} times" if name in ratios else ""


def _top_n(result: dict[str, Any]) -> str:
    cases = [case for case in result["cases"] if case["n"] == 25 and "Spark" in case["factors"]]
    peers = list(cases[0]["times sgemm"]) if cases else []
    rows = [
        "| " + " | ".join([f"{case['items']:,}", *(f"{case['times sgemm'].get(peer, '')}" for peer in peers)]) + " |"
        for case in cases
    ]
    title = "Exact top 25 of rank 64, one core, as a multiple of the plain matrix product (1.0 is what BLAS needs without looking at a score)."
    return "\n".join([title, "", f"| items | {' | '.join(peers)} |", f"|{'---|' * (len(peers) + 1)}", *rows, ""])


def _task(result: dict[str, Any]) -> str:
    sizes = [f"{int(items):,} items" for items in result["items"]]
    title = (
        f"One task: microseconds of a processor for each line of {result['results']} results, or for a ranked list of {result['ranked']}; "
        f"rank {result['rank']}, {result['kernel']}, one thread. The whole is not quite the sum, as caches hold other things."
    )
    rows = [
        f"| {f'{kind}: ' if kind != 'lists' else ''}{part} | {' | '.join(str(each[kind][part]) for each in result['items'].values())} |"
        for kind, parts in next(iter(result["items"].values())).items()
        for part in parts
    ]
    return "\n".join([title, "", f"| | {' | '.join(sizes)} |", f"|{'---|' * (len(sizes) + 1)}", *rows, ""])


def _scale(result: dict[str, Any]) -> str:
    by_lines, by_items = result["by lines"], result["by items"]
    sizes = [(lines, f"{by_lines['items']:,}", run) for lines, run in by_lines["runs"].items()]
    sizes += [(f"{by_items['lines']:,}", items, run) for items, run in by_items["runs"].items()]
    rows = [
        f"| {lines} | {items} | {run['seconds of the job']:.0f} s | {run['lines per second']:,} | {run['million pairs per core-second']:,.0f} "
        f"| {run['MB written per second']:.0f} | {run['most MiB']['worker, private']} | {run['most MiB']['JVM, private']} |"
        for lines, items, run in sizes
    ]
    cores = result["machine"]["cores"]
    title = (
        f"How it grows: `personalize-spark run` in a process of its own on {cores} cores, the start of Spark's first task included; "
        f"{by_lines['users']:,} users where lines grow. Memory is a process's own, at its highest."
    )
    head = "| lines | items | time | lines a second | million pairs a core and second | MB written a second | worker, MiB | JVM, MiB |"
    return "\n".join([title, "", head, "|---|---|---|---|---|---|---|---|", *rows, ""])


def _filters(result: dict[str, Any]) -> str:
    peers = {(each["peer"], each["case"]): each["microseconds a line"] for each in result["peers"]}
    names = list(dict.fromkeys(peer for peer, _ in peers))
    rows = [
        f"| {case['case']} | {case['microseconds a line']} | {case['ratio'] or ''} | {case['against'] or ''} | "
        + " | ".join(f"{peers.get((peer, case['case']), '')}" for peer in names)
        + " |"
        for case in result["cases"]
    ]
    title = "Filtered lines: microseconds a line, whole, and as a multiple of another case's time; 200,000 items, one core. The peers' are their search alone."
    heads = f"| filter | microseconds | times | those of | {' | '.join(names)} |"
    return "\n".join([title, "", heads, f"|{'---|' * (4 + len(names))}", *rows, ""])


def _estimates(result: dict[str, Any]) -> str:
    """Each estimate beside what the job took."""
    jobs, right = result["jobs"], result["right"]
    held = ", ".join(f"{name} {count}" for name, count in right.items())
    heads = [f"{what}, estimated | taken" for what in right]
    rows = [
        f"| {job['recipe']} | {job['items']:,} | {job['lines']:,} | "
        + " | ".join(f"{job[f'{what} estimated']:,} | {job[f'{what} taken']:,}" for what in right)
        + " |"
        for job in jobs
    ]
    title = f"Of {len(jobs)} jobs, within a factor of 1.5: {held}. Output, memory and disk are in MB."
    return "\n".join([title, "", f"| recipe | items | lines | {' | '.join(heads)} |", f"|{'---|' * 11}", *rows, ""])


def _extremes(result: dict[str, Any]) -> str:
    """A sentence for each case that was measured."""
    said = {
        "giant": "One file of {GB} GB with {lines:,} lines: {seconds of the job:.0f} s (popular items, one each).",
        "tiny": "{files:,} files of ten lines: {seconds of the job:.0f} s.",
        "objects": "{objects:,} objects of one line on an S3 server of one Python process: {seconds of the job:.0f} s.",
        "cores": "A standalone cluster: two cores are {times as fast} times as fast as one.",
    }
    return " ".join(text.format_map(result[name]) for name, text in said.items() if name in result) + "\n"


def _quality(result: dict[str, Any]) -> str:
    sets = result["sets"]
    heads = [
        "### How good",
        "",
        _QUALITY,
        "",
        *_by_set(sets, "NDCG@10 and its standard error", "for users", _with_error("NDCG@10")),
    ]
    losses = _by_set(
        sets, "log-loss", "for users", lambda each: f"{each['log-loss']:.2f}" if "log-loss" in each else None
    )
    hits = _by_set(sets, "hit rate@25 of the next item", "related items", _with_error("hit rate@25"))
    told = [f"{name} {_ratio(each)}" for name, each in sets.items()]
    ratios = f"`aws-user-personalization` as a multiple of the best peer that knows no order: {', '.join(told)}."
    explored = [f"{name} {each['for users'][_FIRST]['explored']:.3f}" for name, each in sets.items()]
    kept = f"What exploration at 0.3 keeps of NDCG@10: {', '.join(explored)}."
    return "\n".join([*heads, "", *losses, "", *hits, "", ratios, "", kept, ""])


_FIRST, _ORDERED = "aws-user-personalization", ("aws-", "EASE, recent")
_QUALITY = (
    "The last fifth of each user's items held out, rank 64, default settings; the peers are tuned on this very split. "
    "Cosmetics, music and businesses are generated (`benchmarks/generated.py`)."
)


def _by_set(sets: dict[str, Any], what: str, part: str, text: Callable[[dict[str, Any]], str | None]) -> list[str]:
    """A row for each contender that has the measure on any set, a column for each set."""
    names = list(dict.fromkeys(name for each in sets.values() for name in each[part]))
    rows = {name: [text(each[part][name]) if name in each[part] else None for each in sets.values()] for name in names}
    lines = [f"| {name} | {' | '.join(cell or '' for cell in cells)} |" for name, cells in rows.items() if any(cells)]
    return [f"| {what} | {' | '.join(sets)} |", f"|{'---|' * (len(sets) + 1)}", *lines]


def _with_error(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda each: f"{each[name]:.3f} ± {each['its error']:.3f}"


def _ratio(measured: dict[str, Any]) -> str:
    peers = [each["NDCG@10"] for name, each in measured["for users"].items() if not name.startswith(_ORDERED)]
    return f"{measured['for users'][_FIRST]['NDCG@10'] / max(peers):.2f}"


if __name__ == "__main__":
    main()
