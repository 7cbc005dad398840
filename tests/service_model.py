"""Amazon Personalize as botocore itself reads its model: what our own reading is held against."""

from __future__ import annotations

from botocore.loaders import Loader
from botocore.model import ServiceModel

MODEL = ServiceModel(Loader().load_service_model("personalize", "service-2"), "personalize")
