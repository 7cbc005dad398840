from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

from personalize_spark.service_model import COPIED_FROM, EVENTS, PERSONALIZE, RUNTIME, service_model
from tests.service_model import MODEL

_REQUEST = """
from personalize_spark.request import validate
arn, place = "arn:aws:personalize:eu-west-1:111122223333:solution/home/1a2b3c4d", {"path": "s3://acme-recs/in/"}
asked = {"jobName": "j", "solutionVersionArn": arn, "roleArn": "arn:aws:iam::111122223333:role/r"}
asked |= {"jobInput": {"s3DataSource": place}, "jobOutput": {"s3DataDestination": {"path": "s3://acme-recs/out/"}}}
asked["batchInferenceJobConfig"] = {"rankingInfluence": {"POPULARITY": 0.5}}
validate("CreateBatchInferenceJob", asked)
"""


def _botocore(folder: Path, release: str) -> None:
    """A botocore of that release whose model knows nothing."""
    metadata = folder / f"botocore-{release}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: botocore\nVersion: {release}\n")
    for service in (PERSONALIZE, EVENTS, RUNTIME):
        data = folder / "botocore" / "data" / service / "2018-05-22"
        data.mkdir(parents=True)
        (data / "service-2.json").write_text('{"operations": {}, "shapes": {}}')
    (folder / "botocore" / "__init__.py").touch()


@pytest.mark.slow
@pytest.mark.parametrize(("release", "used"), [("1.34.0", False), ("99.0.0", True)])
def test_an_old_botocore_is_no_reason_to_refuse_a_request(release: str, used: bool, tmp_path: Path) -> None:  # noqa: FBT001
    _botocore(tmp_path, release)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", _REQUEST], env=environment, capture_output=True, text=True, check=False
    )
    assert ("KeyError: 'CreateBatchInferenceJob'" in done.stderr) == used
    assert (done.returncode == 0) != used


def test_the_model_has_all_operations_of_botocores_own() -> None:
    assert {*service_model().operations} >= {*MODEL.operation_names}


def test_the_copy_is_of_the_release_that_is_named() -> None:
    """Where that release is installed, the two are the same."""
    if version("botocore") != ".".join(map(str, COPIED_FROM)):
        return
    import botocore

    for service in (PERSONALIZE, EVENTS, RUNTIME):
        [data] = Path(botocore.__file__).parent.glob(f"data/{service}/*/service-2.json.gz")
        copy = files("personalize_spark").joinpath("service_models", f"{service}.json.gz").read_bytes()
        assert json.loads(gzip.decompress(copy)) == json.loads(gzip.decompress(data.read_bytes()))
