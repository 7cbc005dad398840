"""Two examples for the `--help` of each command."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HERE = "arn:aws:personalize:us-east-1:000000000000"
_VERSION = f"{_HERE}:solution/home/1a2b3c4d"
_JOB = f"{_HERE}:batch-inference-job/weekly"
_EXAMPLES = {
    "compare": (
        "from-aws/ out/ --page differences.html",
        "last-week/users.json.out out/users.json.out --plot overlap.svg",
    ),
    "config": ("", "--engine local --json"),
    "demo": ("", "--keep try"),
    "evaluate": (
        f"--solution-version {_VERSION} --page home.html",
        f"--solution-version {_VERSION} --interactions later.csv --beside {_VERSION[:-8]}9f8e7d6c",
    ),
    "explain-filter": (
        """--group shop --expression 'EXCLUDE ItemID WHERE Items.GENRE IN ("horror")'""",
        f"""--filter-arn arn:aws:personalize:us-east-1:000000000000:filter/fresh --line '{{"userId": "u1"}}' --solution-version {_VERSION}""",
    ),
    "explain-theme": (
        f"--solution-version {_VERSION} --item film-12",
        f"--solution-version {_VERSION} --item film-12 --json",
    ),
    "gc": ("--dry-run", "--older-than 30d"),
    "import": (
        "--group shop --interactions interactions.csv --items items.csv --users users.csv",
        "--group shop --interactions clicks.csv --map USER_ID=customer_id --dry-run",
    ),
    "import-model": (
        "--solution home --recipe aws-user-personalization --items ./als --group shop",
        "--solution home --recipe aws-similar-items --items items.npy --counts counts.csv",
    ),
    "report": (_JOB, f"{_JOB} --json"),
    "resume": (_JOB, f"{_JOB} --engine local"),
    "run": ("--request request.json", "--request request.json --job-name weekly-02 --engine local"),
    "serve": ("", "--access-keys keys.ini --host 0.0.0.0 --certfile cert.pem --keyfile key.pem"),
    "train": (
        "--group shop --solution home --recipe aws-user-personalization",
        "--group shop --solution related --recipe aws-similar-items --rank 32",
    ),
    "validate": ("--request request.json", "--request request.json --estimate --cores 64"),
    "watch": (_JOB, f"{_JOB} --catalog s3://my-bucket/personalize"),
}
_OF_AN_OPERATION = "--cli-input-json file://parameters.json"
_OF_A_LIST = "--max-results 10 --output table"
_ON_A_LINE = 3
"""With so many options each has a line of its own."""
_BEYOND = {"create-solution": ("recipeArn",), "get-recommendations": ("campaignArn", "userId")}
"""What is needed though the service's model does not say so."""
_VALUES = {
    "algorithmArn": "arn:aws:personalize:::algorithm/aws-user-personalization",
    "batchInferenceJobArn": _JOB,
    "campaignArn": _VERSION,
    "dataDeletionJobArn": f"{_HERE}:data-deletion-job/gone",
    "dataSource": "dataLocation=s3://acme-recs/items.csv",
    "datasetArn": f"{_HERE}:dataset/shop/ITEMS",
    "datasetExportJobArn": f"{_HERE}:dataset-export-job/backup",
    "datasetGroupArn": f"{_HERE}:dataset-group/shop",
    "datasetImportJobArn": f"{_HERE}:dataset-import-job/first",
    "datasetType": "Items",
    "eventList": "eventType=click,itemId=film-12,sentAt=1700000000",
    "eventTrackerArn": f"{_HERE}:event-tracker/1a2b3c4d",
    "featureTransformationArn": "arn:aws:personalize:::feature-transformation/JSON-percentile-filtering",
    "filterArn": f"{_HERE}:filter/fresh",
    "filterExpression": """'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")'""",
    "inputList": "film-12,film-7",
    "items": "itemId=film-12",
    "jobInput": "s3DataSource={path=s3://acme-recs/in/users.json}",
    "jobName": "weekly",
    "jobOutput": "s3DataDestination={path=s3://acme-recs/out/}",
    "name": "shop",
    "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization",
    "resourceArn": f"{_HERE}:filter/fresh",
    "roleArn": "arn:aws:iam::111122223333:role/PersonalizeBatch",
    "schema": "file://schema.json",
    "schemaArn": f"{_HERE}:schema/items",
    "sessionId": "web-1",
    "solutionArn": f"{_HERE}:solution/home",
    "solutionVersionArn": _VERSION,
    "tagKeys": "team",
    "tags": "tagKey=team,tagValue=mail",
    "trackingId": "1a2b3c4d",
    "userId": "u1",
    "users": "userId=u1",
}
"""By member of a request, what may stand behind its option."""


def examples_of(command: str, needed: Sequence[str] = ()) -> str:
    """What stands below the options: two command lines; of an operation's command with the members that it needs."""
    if command in _EXAMPLES:
        lines = [f"{command} {options}".rstrip() for options in _EXAMPLES[command]]
    else:
        given = [f"--{kebab(name)} {_VALUES[name]}" for name in (*needed, *_BEYOND.get(command, ()))]
        between = " " if len(given) < _ON_A_LINE else " \\\n      "
        lines = [between.join([command, *(given or [_OF_A_LIST])]), f"{command} {_OF_AN_OPERATION}"]
    return "\n".join(["Examples:", *(f"  personalize-spark {line}" for line in lines)])


def kebab(name: str) -> str:
    """A name of the service's model, as the AWS CLI spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
