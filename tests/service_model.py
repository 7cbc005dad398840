"""Amazon Personalize as botocore itself reads its model: what our own reading is held against."""

from __future__ import annotations

from botocore.loaders import Loader
from botocore.model import ServiceModel

MODEL, EVENTS, RUNTIME = (
    ServiceModel(Loader().load_service_model(name, "service-2"), name)
    for name in ("personalize", "personalize-events", "personalize-runtime")
)
