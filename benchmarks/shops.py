"""Products of generated shops: each of a kind, for an occasion, of a material, by a brand; the words are in `shops.json`."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOPS: Mapping[str, Mapping[str, Any]] = json.loads((Path(__file__).parent / "shops.json").read_text(encoding="utf-8"))
_WEIGHTS = {"department": 0.5, "product": 0.6, "occasion": 1.0, "material": 0.3, "style": 0.3}
"""How much each trait counts when products are compared."""


@dataclass(frozen=True)
class Product:
    """A product.

    Attributes:
        texts: title, categories, description.
        traits: what it is like, by weight.
    """

    texts: tuple[str, str, str]
    traits: Mapping[str, float]


def product(words: Mapping[str, Any], chance: random.Random) -> Product:
    """A product of a shop, drawn by chance."""
    department = chance.choice(sorted(words["departments"]))
    fitting = [each for each, departments in words["occasions"].items() if department in departments]
    drawn = {
        "department": department,
        "product": chance.choice(words["departments"][department]),
        "occasion": chance.choice(fitting),
        "material": chance.choice(words["materials"]),
        "style": chance.choice(words["styles"]),
    }
    said = {**drawn, "feature": chance.choice(words["features"]), "brand": chance.choice(words["brands"])}
    said["number"] = str(chance.randrange(100, 1_000))
    said |= {key.title(): " ".join(map(_capital, said[key].split())) for key in ("product", "style")}
    said |= {key.title(): _capital(said[key]) for key in ("feature", "material")}
    traits = {f"{key}={value}": _WEIGHTS[key] for key, value in drawn.items()}
    sentence = chance.choice(words["sentences"]).format(**said)
    return Product((words["title"].format(**said), f"{department}|{said['Product']}", sentence), traits)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
