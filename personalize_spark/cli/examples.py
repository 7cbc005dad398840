"""Two examples for the `--help` of each command."""

from __future__ import annotations

_VERSION = "arn:aws:personalize:us-east-1:000000000000:solution/home/1a2b3c4d"
_JOB = "arn:aws:personalize:us-east-1:000000000000:batch-inference-job/weekly"
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
_OF_AN_OPERATION = ("--generate-cli-skeleton", "--cli-input-json file://parameters.json")


def examples_of(command: str) -> str:
    """What stands below the options: two command lines."""
    lines = _EXAMPLES.get(command, _OF_AN_OPERATION)
    return "\n".join(["Examples:", *(f"  personalize-spark {command} {line}".rstrip() for line in lines)])
