from __future__ import annotations

import pytest

from personalize_spark.catalog.arns import Arn
from personalize_spark.errors import InvalidInputException


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:personalize:eu-west-1:111122223333:solution/home/1a2b3c4d",
        "arn:aws:personalize:eu-west-1:111122223333:batch-inference-job/weekly-homepage_01",
        "arn:aws-cn:personalize:cn-north-1:111122223333:filter/not-bought",
        "arn:aws:personalize:::recipe/aws-user-personalization",
    ],
)
def test_an_arn_survives_its_parts(text: str) -> None:
    assert str(Arn.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arn:aws:s3:::bucket",
        "arn:aws:personalize:r:a:solution",
        "arn:aws:personalize:r:a:solution/../../etc/passwd",
        "arn:aws:personalize:r:a:solution/.hidden",
        "arn:aws:personalize:r:a:solution/a/b/c",
        "arn:aws:personalize:r:a:solution/a/b\n",
    ],
)
def test_what_is_no_arn_or_would_leave_its_folder_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputException, match="not the ARN"):
        Arn.parse(text)


def test_a_name_that_is_none_is_refused_as_such() -> None:
    home = Arn.parse("arn:aws:personalize:eu-west-1:111122223333:solution/home")
    with pytest.raises(InvalidInputException, match="'a b' is no name of a dataset group: use letters"):
        Arn.local("dataset-group", "a b")
    for name in ("../x", "", "a/b", "-a", "a\n"):
        with pytest.raises(InvalidInputException, match="is no name of a solution:"):
            home.sibling("solution", name)


def test_a_record_lies_at_the_resource_part() -> None:
    arn = Arn.parse("arn:aws:personalize:eu-west-1:111122223333:solution/home/1a2b3c4d")
    assert arn.resource == "solution/home/1a2b3c4d"
    assert (
        str(arn.sibling("batch-inference-job", "j"))
        == "arn:aws:personalize:eu-west-1:111122223333:batch-inference-job/j"
    )


@pytest.mark.parametrize(
    ("resource", "noun"),
    [
        ("solution/home", "solution"),
        ("solution/home/1a2b", "solution version"),
        ("dataset/shop/ITEMS", "dataset"),
        ("batch-inference-job/j", "batch inference job"),
    ],
)
def test_an_arn_must_be_of_what_is_wanted(resource: str, noun: str) -> None:
    text = f"arn:aws:personalize:us-east-1:000000000000:{resource}"
    assert Arn.parse(text, noun) == Arn.parse(text)
    with pytest.raises(InvalidInputException, match=f"'{text}' is not the ARN of a recipe"):
        Arn.parse(text, "recipe")


def test_a_local_arn_has_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert str(Arn.local("dataset-group", "shop")) == "arn:aws:personalize:us-east-1:000000000000:dataset-group/shop"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert Arn.local("solution", "top").region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert Arn.local("solution", "top").region == "cn-north-1"
    monkeypatch.setenv("AWS_REGION", "eu/west")
    with pytest.raises(InvalidInputException, match="not the ARN"):
        Arn.local("solution", "top")
