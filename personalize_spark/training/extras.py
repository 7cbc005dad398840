"""What trainings need beyond a plain installation."""

from __future__ import annotations

from importlib.util import find_spec

from personalize_spark.errors import EnvironmentProblem


def require_solvers() -> None:
    """Check that scipy and threadpoolctl are installed.

    Raises:
        EnvironmentProblem: one is not.
    """
    _require("scipy", "spark")
    _require("threadpoolctl", "spark")


def require_wordllama() -> None:
    """Check that wordllama is installed.

    Raises:
        EnvironmentProblem: it is not.
    """
    _require("wordllama", "themes")


def _require(library: str, extra: str) -> None:
    if find_spec(library) is None:
        raise EnvironmentProblem(
            f"This needs {library}, which is not installed: pip install 'personalize-spark[{extra}]', or {library} alone."
        )
