"""What an evaluation found: measures, how sure they are, a verdict; and how it reads as text and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.quality.intervals import Interval, intervals
from personalize_spark.quality.template import fragment, section, table

DEPTHS = (5, 10, 25)
"""The K of the measures."""

LONGEST = max(DEPTHS)
"""The length of a list."""

_INTERVAL = "95% of the model"


@dataclass(frozen=True)
class Measures:
    """How good the lists of one ranking are; the formulas are in `quality.measures`.

    Attributes:
        ndcg: NDCG@K by K.
        precision: precision@K by K.
        recall: recall@K by K.
        mrr: MRR@25.
        coverage: from 0 to 1.
        novelty: in bits.
        popularity: a mean percentile, from 0 to 1.
        log_loss: in nats.
    """

    ndcg: dict[int, float]
    precision: dict[int, float]
    recall: dict[int, float]
    mrr: float
    coverage: float
    novelty: float
    popularity: float
    log_loss: float


@dataclass(frozen=True)
class Bin:
    """A tenth of all places that the model fills, see `Evaluation.calibration`.

    Attributes:
        predicted: the mean chance that the score gives it.
        frequency: the mean chance that the recommended item is the held-out one.
        shown: how many places.
    """

    predicted: float
    frequency: float
    shown: int


@dataclass(frozen=True)
class Evaluation:
    """The quality of a model.

    Attributes:
        users: how many users have held-out items.
        items: how many items there are.
        rankings: "model", "popularity" and "random".
        peers: others, on the same users: "cosine" and "EASE", simple models, as far as the training has measured them, and
            `other`. Rankings without scores have a log-loss that is not a number.
        calibration: all places of the model's first 25, in the order of their chances (the score, among the items that the user
            has not seen), cut into ten bins of equal size. A place
            counts as 1 / |H| if its item is among the |H| held-out items of its user, else as 0: that is the chance that a
            held-out item drawn at random is the recommended one, so a calibrated chance predicts its mean. Empty for a model
            without scores.
        seen_share: the mean share of the scores that the items that a user has seen keep.
        values: by ranking or peer, and by measure, float64 (H,): what the measure is the mean of. Not part of `to_dict`.
        solution_version_arn: the solution version that was evaluated; empty for a model that is none yet.
        version: what was evaluated, by name: its recipe, dataset group, training.
        other: the name of another version that stands among the peers.
        other_version: the same of that one as `version`.
        notes: what to know before one reads the numbers.
    """

    users: int
    items: int
    rankings: dict[str, Measures]
    calibration: list[Bin]
    seen_share: float = 0.0
    values: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=dict, repr=False, compare=False)
    peers: dict[str, Measures] = field(default_factory=dict)
    solution_version_arn: str = ""
    version: dict[str, str] = field(default_factory=dict)
    other: str = ""
    other_version: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """By ranking or peer, and by measure, the 95 % interval of a mean over users, see `quality.intervals`."""
        return _intervals_of(self.values)

    @cached_property
    def differences(self) -> dict[str, dict[str, Interval]]:
        """By ranking or peer, the intervals of the model's measures minus its own, over the same users."""
        mine = self.values.get("model", {})
        others = {name: values for name, values in self.values.items() if name != "model"}
        return _intervals_of(
            {
                name: {each: mine[each] - values[each] for each in values if each in mine}
                for name, values in others.items()
            }
        )

    def beside(self, other: Evaluation, name: str, *, paired: bool) -> Evaluation:
        """With another version among the peers; `paired` if it was evaluated on the same users and items."""
        values = self.values | ({name: other.values["model"]} if paired else {})
        peers = {**self.peers, name: other.rankings["model"]}
        about = {"solution version": other.solution_version_arn, **other.version}
        return replace(self, peers=peers, other=name, other_version=about, values=values)

    def solution_metrics(self) -> dict[str, float]:
        """The model's measures by the names of `GetSolutionMetrics`."""
        model = self.rankings["model"]
        return {
            "coverage": model.coverage,
            "mean_reciprocal_rank_at_25": model.mrr,
            **{f"normalized_discounted_cumulative_gain_at_{depth}": value for depth, value in model.ndcg.items()},
            **{f"precision_at_{depth}": value for depth, value in model.precision.items()},
        }

    def calibration_error(self) -> float | None:
        """The expected calibration error: the mean over all places of how far a bin's chance is from its frequency."""
        bins = self.calibration
        if not bins:
            return None
        return sum(each.shown * abs(each.predicted - each.frequency) for each in bins) / sum(
            each.shown for each in bins
        )

    def verdict(self) -> list[str]:
        """Whether the model is worth having, in sentences."""
        model, popular = self.rankings["model"], self.rankings["popularity"]
        said = [f"The model ranks {self._against('popularity', popular)}"]
        if np.isfinite(model.log_loss):
            losses = f"log-loss {model.log_loss:.4f} against {popular.log_loss:.4f}"
            likely = "more likely" if model.log_loss < popular.log_loss else "no more likely"
            said.append(f"Its scores make what was held out {likely} than popularity does: {losses}.")
        for name, peer in self.peers.items():
            if name == self.other:
                said.append(f"It ranks {self._against(name, peer)}")
            elif peer.ndcg[LONGEST] > model.ndcg[LONGEST]:
                said.append(
                    f"{name} ranks better than the model: NDCG@{LONGEST} {peer.ndcg[LONGEST]:.4f}.{self._sure(name)}"
                )
        return said

    def _against(self, name: str, other: Measures) -> str:
        """How the order of the model compares with another one."""
        value, theirs = self.rankings["model"].ndcg[LONGEST], other.ndcg[LONGEST]
        gains = f"NDCG@{LONGEST} {value:.4f} against {theirs:.4f}."
        if value == theirs:
            return f"as well as {name}: {gains}"
        times = f" by {abs(value / theirs - 1):.0%}" if theirs else ""
        return f"{'better' if value > theirs else 'worse'} than {name}{times}: {gains}{self._sure(name)}"

    def _sure(self, name: str) -> str:
        """Whether the difference from another ranking may be chance."""
        interval = self.differences.get(name, {}).get(f"NDCG@{LONGEST}")
        if interval is None:
            return ""
        low, high = interval
        chance = f" With {self.users:,} users this may be chance." if low <= 0 <= high else ""
        return f" The difference is {low:+.4f} to {high:+.4f} (95% interval).{chance}"

    def rows(self, *, peers: bool = False) -> dict[str, list[float]]:
        """The measures by their names, each of the three rankings, and of the peers where these are wanted."""
        rankings = [*self.rankings.values(), *(self.peers.values() if peers else ())]
        by_depth = {
            f"{name}@{depth}": [getattr(each, name.lower())[depth] for each in rankings]
            for name in ("NDCG", "precision", "recall")
            for depth in DEPTHS
        }
        names = {"MRR@25": "mrr", "coverage": "coverage", "novelty": "novelty", "popularity": "popularity"}
        single = {name: [getattr(each, field) for each in rankings] for name, field in names.items()}
        losses = {"log-loss": [each.log_loss for each in rankings]} if self.calibration else {}
        return {**by_depth, **single, **losses}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """All numbers as texts: the head, and the rows by measure, with the model's intervals at the end."""
        sure = self.intervals.get("model", {})
        rows = [
            [name, *map(_told, values), "{:.4f} to {:.4f}".format(*sure[name]) if name in sure else "-"]
            for name, values in self.rows(peers=True).items()
        ]
        return ["", *self.rankings, *self.peers, _INTERVAL], rows

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        values = asdict(replace(self, values={}))
        del values["values"]
        for each in (*values["rankings"].values(), *values["peers"].values()):
            each["log_loss"] = each["log_loss"] if np.isfinite(each["log_loss"]) else None
        told = {"metrics": self.solution_metrics(), "calibration_error": self.calibration_error()}
        sure = {"intervals": self.intervals, "differences": self.differences}
        return {**values, **told, **sure, "verdict": self.verdict()}

    def __str__(self) -> str:
        head, rows = self.table()
        width = max(12, *(len(each) + 2 for each in head[1:-1]))
        lines = [
            f"{row[0]:<14}" + "".join(f"{each:>{width}}" for each in row[1:-1]) + f"{row[-1]:>24}"
            for row in (head, *rows)
        ]
        about = f"{self.users:,} users, {self.items:,} items"
        return "\n".join([*self.verdict(), "", about, "", *lines, *self._reliability()])

    def _reliability(self) -> list[str]:
        """How often a score came true, bin by bin."""
        if not self.calibration:
            return []
        rows = [f"{each.predicted:>14.4%}{each.frequency:>12.4%}{each.shown:>12,}" for each in self.calibration]
        error = f"expected calibration error {self.calibration_error():.4%}; items seen keep {self.seen_share:.1%} of the scores"
        return ["", f"{'predicted':>14}{'held out':>12}{'places':>12}", *rows, error]

    def _repr_html_(self) -> str:
        about = f"<p>{escape(self.solution_version_arn)}</p><p>{self.users:,} users, {self.items:,} items</p>"
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self.verdict(), *self.notes))
        return fragment(section("Evaluation", about + notes + table(*self.table())))


def _intervals_of(values: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, dict[str, Interval]]:
    """Of all at once: users are drawn only once."""
    found = intervals({(name, each): column for name, columns in values.items() for each, column in columns.items()})
    return {
        name: {each: found[name, each] for each in columns if (name, each) in found} for name, columns in values.items()
    }


def _told(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "-"
