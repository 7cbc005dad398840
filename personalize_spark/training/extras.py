"""What trainings need beyond a plain installation."""

from __future__ import annotations

from importlib.util import find_spec

from personalize_spark.errors import EnvironmentProblem


def require_scipy() -> None:
    """Check that scipy is installed.

    Raises:
        EnvironmentProblem: it is not.
    """
    if find_spec("scipy") is None:
        raise EnvironmentProblem(
            "This needs scipy, which is not installed: pip install 'personalize-spark[spark]', or scipy alone."
        )
