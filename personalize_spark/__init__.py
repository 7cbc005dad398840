"""Amazon Personalize's batch inference, on your own Spark.

    import personalize_spark as ps

    catalog = ps.Catalog("./catalog")
    ps.import_datasets(catalog, "shop", interactions="interactions.csv", items="items.csv")
    version = ps.train(catalog, "shop", "aws-user-personalization", "home")
    report = ps.run_batch_inference(catalog, request)  # a CreateBatchInferenceJob request

Each command of the command line is one of these functions: the same parameters, the same effects. Paths are local paths
or URIs. What a function returns prints well, and `to_dict()` gives it as plain values. What is refused raises
`ServiceError`, a job that ends as CREATE FAILED raises `JobFailed`, and every error is a `PersonalizeSparkError`.

A name is loaded when it is first used, so importing the package costs milliseconds and needs no Spark.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "JobFailed",
    "PersonalizeSparkError",
    "ServiceError",
    "__version__",
    "client",
    "compare",
    "evaluate",
    "explain_filter",
    "explain_theme",
    "import_datasets",
    "import_model",
    "read_output",
    "recommend",
    "report",
    "resume",
    "run_batch_inference",
    "train",
]

if TYPE_CHECKING:
    from personalize_spark.api import import_datasets, import_model, resume, run_batch_inference, train
    from personalize_spark.boto3_client import client
    from personalize_spark.catalog.catalog import Catalog
    from personalize_spark.errors import JobFailed, PersonalizeSparkError, ServiceError
    from personalize_spark.frames import read_output, recommend
    from personalize_spark.quality.compare import compare
    from personalize_spark.quality.evaluate import evaluate
    from personalize_spark.service.batch_inference_jobs import report
    from personalize_spark.service.explain import explain_filter
    from personalize_spark.service.explain_theme import explain_theme
else:
    _MODULES = {
        "Catalog": "catalog.catalog",
        "JobFailed": "errors",
        "PersonalizeSparkError": "errors",
        "ServiceError": "errors",
        "client": "boto3_client",
        "compare": "quality.compare",
        "evaluate": "quality.evaluate",
        "explain_filter": "service.explain",
        "explain_theme": "service.explain_theme",
        "import_datasets": "api",
        "import_model": "api",
        "read_output": "frames",
        "recommend": "frames",
        "report": "service.batch_inference_jobs",
        "resume": "api",
        "run_batch_inference": "api",
        "train": "api",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
