"""All settings that are no parameter of a request: each has a variable of the environment, and most stand in `personalize-spark.toml`.

The command line lays what the file says under the environment (`cli.config`), so that every process it starts reads the same variables.
Workers on other hosts get those that tasks read with the session (`spark.open_session`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from personalize_spark.errors import InvalidInputException

FILE = "personalize-spark.toml"
"""The file of settings, in the working folder unless `FILE_VARIABLE` names another."""
FILE_VARIABLE = "PERSONALIZE_SPARK_CONFIG"


@dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        variable: of the environment.
        default: what holds where nothing is said; None where that is nothing, or depends on the machine.
        pattern: what its values look like.
        form: the same in words.
        meaning: what it sets.
        tasks: whether tasks read it, too.
    """

    variable: str
    default: str | None
    pattern: str
    form: str
    meaning: str
    tasks: bool = False


_SIZE = re.compile(r"([0-9]+)([bkmgtBKMGT]?)[bB]?")
_A_SIZE = "a size such as 20g"
_A_NUMBER = "a whole number; 0 is no limit"

LEVELS = r"(?:([a-z_0-9.]+)=)?(debug|info|warning|error)"
"""A level, of all loggers or of one: `info`, `personalize_spark.job.task=debug`."""

SETTINGS: Mapping[str, Setting] = {
    "catalog": Setting("PERSONALIZE_SPARK_CATALOG", None, ".+", "a path, file:///... or s3://...", "the catalog"),
    "engine": Setting("PERSONALIZE_SPARK_ENGINE", "spark", "spark|local", "spark or local", "what jobs run on"),
    "limits": Setting(
        "PERSONALIZE_SPARK_LIMITS", None, "service", "service", "refuse jobs that exceed the managed service's quotas"
    ),
    "theme-model": Setting(
        "PERSONALIZE_SPARK_THEME_MODEL",
        None,
        "(bedrock|openai-compatible):.+",
        "bedrock:MODEL_ID or openai-compatible:URL[#MODEL]",
        "a language model that phrases the themes",
    ),
    "driver-memory": Setting(
        "SPARK_DRIVER_MEMORY",
        None,
        "[1-9][0-9]*[kmgtKMGT]",
        "a size such as 4g or 900m",
        "memory of a local session's JVM",
    ),
    "cache-size": Setting(
        "PERSONALIZE_SPARK_CACHE_SIZE",
        None,
        _SIZE.pattern,
        _A_SIZE,
        "what a host keeps of models on its disk; by default half of what is free there",
        tasks=True,
    ),
    "max-inflation": Setting(
        "PERSONALIZE_SPARK_MAX_INFLATION",
        "200",
        "[0-9]+",
        _A_NUMBER,
        "how many times its size a compressed input may inflate to",
        tasks=True,
    ),
    "max-inflated": Setting(
        "PERSONALIZE_SPARK_MAX_INFLATED",
        str(1 << 40),
        "[0-9]+",
        _A_NUMBER,
        "the bytes that a compressed input may inflate to",
        tasks=True,
    ),
    "deadline": Setting(
        "PERSONALIZE_SPARK_DEADLINE",
        "1800",
        "[0-9]+",
        _A_NUMBER,
        "seconds without a finished split after which a worker is taken for hung; more where splits are slow",
    ),
    "request-deadline": Setting(
        "PERSONALIZE_SPARK_REQUEST_DEADLINE",
        "120",
        "[0-9]+",
        _A_NUMBER,
        "seconds within which S3 must have answered a request, before it is made again; more where the connection is slow",
        tasks=True,
    ),
    "kernel": Setting(
        "PERSONALIZE_SPARK_KERNEL",
        "auto",
        "auto|native|numpy",
        "auto, native or numpy",
        "what searches for the best items, and solves the equations of a training",
        tasks=True,
    ),
    "log-format": Setting(
        "PERSONALIZE_SPARK_LOG_FORMAT",
        None,
        "text|json",
        "text or json",
        "how the log is written to stderr; info and above, unless log-level says otherwise",
        tasks=True,
    ),
    "log-level": Setting(
        "PERSONALIZE_SPARK_LOG_LEVEL",
        None,
        f"{LEVELS}(,{LEVELS})*",
        "a list such as warning,personalize_spark.job.task=debug",
        "what is logged: a level of all loggers, and of some",
        tasks=True,
    ),
    "jars": Setting(
        "PERSONALIZE_SPARK_JARS",
        None,
        ".+",
        "a path",
        "the folder of the jars of Delta and S3A; by default in ~/.cache",
    ),
}
"""By name: a key of `personalize-spark.toml`, and the option without its dashes where there is one."""


def value_of(name: str) -> str | None:
    """What the environment says of a setting, else its default."""
    setting = SETTINGS[name]
    return os.environ.get(setting.variable) or setting.default


def limit_of(name: str) -> int:
    """A setting that is a whole number; it is checked here, too, as Python functions read the environment unchecked.

    Raises:
        InvalidInputException: it is none.
    """
    given = value_of(name) or ""
    if problem(name, given) is not None:
        raise InvalidInputException(f"{SETTINGS[name].variable} must be a whole number, not '{given}'; 0 is no limit.")
    return int(given)


def size_of(name: str) -> int | None:
    """A setting that is a size, in bytes; `None` where nothing is said.

    Raises:
        InvalidInputException: it is none.
    """
    given = value_of(name)
    if given is not None and problem(name, given) is not None:
        raise InvalidInputException(f"{SETTINGS[name].variable} must be {SETTINGS[name].form}, not '{given}'.")
    return None if given is None else bytes_of(given)


def problem(name: str, value: str) -> str | None:
    """Why a value is none of a setting's; nothing where it is."""
    setting = SETTINGS[name]
    fits = value.isascii() or setting.pattern == ".+"
    return None if fits and re.fullmatch(setting.pattern, value) else f"'{value}' is not {setting.form}"


def bytes_of(size: str) -> int | None:
    """How many bytes a size such as `20g` is; None if it is no size."""
    match = _SIZE.fullmatch(size.strip())
    return None if match is None else int(match[1]) << 10 * "bkmgt".index(match[2].lower() or "b")


def of_tasks() -> dict[str, str]:
    """The variables that tasks read, too, as far as they are set."""
    variables = (setting.variable for setting in SETTINGS.values() if setting.tasks)
    return {name: os.environ[name] for name in variables if name in os.environ}
