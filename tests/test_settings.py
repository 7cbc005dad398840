from __future__ import annotations

import re
from pathlib import Path

import pytest

from personalize_spark.settings import SETTINGS, bytes_of, of_tasks, problem, value_of

ROOT = Path(__file__).parents[1]


def test_the_environment_takes_the_place_of_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERSONALIZE_SPARK_ENGINE", raising=False)
    assert value_of("engine") == "spark"
    monkeypatch.setenv("PERSONALIZE_SPARK_ENGINE", "local")
    assert value_of("engine") == "local"


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_are_values(name: str) -> None:
    default = SETTINGS[name].default
    assert default is None or problem(name, default) is None


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("engine", "local", True),
        ("engine", "Local", False),
        ("cache-size", "20g", True),
        ("cache-size", "٢g", False),
        ("cache-size", "20 apples", False),
        ("max-inflated", "0", True),
        ("max-inflated", "1g", False),
        ("catalog", "s3://bücket/x", True),
        ("theme-model", "bedrock:amazon.nova-lite", True),
        ("theme-model", "gpt", False),
    ],
)
def test_values_have_a_form(name: str, value: str, right: bool) -> None:  # noqa: FBT001
    assert (problem(name, value) is None) == right


def test_sizes() -> None:
    assert [bytes_of(size) for size in ("7", "2k", "3MB", "20g", "1t", "", "g", "1.5g")] == [
        7,
        2 << 10,
        3 << 20,
        20 << 30,
        1 << 40,
        None,
        None,
        None,
    ]


def test_tasks_get_what_they_read_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("PERSONALIZE_SPARK_KERNEL", "numpy")
    monkeypatch.setenv("PERSONALIZE_SPARK_CATALOG", "here")
    assert of_tasks() == {"PERSONALIZE_SPARK_KERNEL": "numpy"}


def test_the_documents_have_all_settings() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \| `([A-Z_]+)` \|(?: `(.*?)`)? \|$", text, re.MULTILINE)
    assert rows == [
        (name, setting.meaning, setting.variable, setting.default or "") for name, setting in SETTINGS.items()
    ]


def test_no_other_module_reads_these_variables() -> None:
    found = [
        path.name
        for path in (ROOT / "personalize_spark").rglob("*.py")
        if path.name != "settings.py"
        and re.search(r"environ[^\n]*\b(PERSONALIZE_SPARK_|SPARK_DRIVER)", path.read_text())
    ]
    assert found == []
