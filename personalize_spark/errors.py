"""Every error this package raises on purpose, as one tree.

    PersonalizeSparkError
    ├── ServiceError                     an answer of the service: AWS error code (= class name) and message
    │   ├── InvalidInputException
    │   ├── InvalidNextTokenException
    │   ├── LimitExceededException
    │   ├── ResourceAlreadyExistsException
    │   ├── ResourceInUseException
    │   ├── ResourceNotFoundException
    │   ├── TooManyTagKeysException
    │   └── TooManyTagsException
    ├── StorageError                     the world below a URI
    │   ├── BucketNotFound
    │   ├── ObjectNotFound
    │   ├── ObjectExists                 a conditional create lost: somebody else's object is there
    │   ├── ObjectChanged                the object is not the one that was listed or read before
    │   └── AccessDenied
    ├── ArtifactError                    a model or view that is incomplete, damaged or of another version
    ├── DataError                        a dataset that cannot be imported or trained on
    ├── EnvironmentProblem               Java, jars or packages that this machine lacks
    ├── TaskFailed                       a task that died of what is no error of this package, or whose process did
    ├── EngineLost                       what runs tasks is gone, the JVM of the driver: nothing of the work is to blame
    └── JobFailed                        a job that ends as CREATE FAILED; the message is its failureReason

A line of input that cannot be answered is not an error but a value (`records.LineError`).
All errors carry one message and survive pickling, so that Spark can bring them home from a worker.
"""

from __future__ import annotations

import difflib
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_QUOTED = 60
_AGAIN_SECONDS = 0.1
"""Characters of a text that a message shows."""


class PersonalizeSparkError(Exception):
    """The root: one message that says what is wrong, where, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ServiceError(PersonalizeSparkError):
    """A refusal in the service's own terms; HTTP status 400 for every one of them."""

    @property
    def code(self) -> str:
        """The AWS error code, as botocore's service model spells it."""
        return type(self).__name__


class InvalidInputException(ServiceError):
    """A field or parameter value is not valid."""


class InvalidNextTokenException(ServiceError):
    """The token of a list operation is not one that was handed out."""


class LimitExceededException(ServiceError):
    """A quota of the service is used up."""


class ResourceAlreadyExistsException(ServiceError):
    """The name is taken."""


class ResourceInUseException(ServiceError):
    """The resource is being changed or is still needed."""


class ResourceNotFoundException(ServiceError):
    """The catalog holds no such resource."""


class TooManyTagsException(ServiceError):
    """More tags than a resource may have."""


class TooManyTagKeysException(ServiceError):
    """More keys of tags than a resource may have tags."""


class StorageError(PersonalizeSparkError):
    """Reading or writing an object failed."""


class BucketNotFound(StorageError):
    """There is no bucket of that name."""


class ObjectNotFound(StorageError):
    """There is no object of that name."""


class ObjectExists(StorageError):
    """A conditional create found the name taken."""


class ObjectChanged(StorageError):
    """The object is another one than the one that was seen before."""


class AccessDenied(StorageError):
    """The credentials in use may not do this."""


class ArtifactError(PersonalizeSparkError):
    """A model or a view that cannot be used as it lies there."""


class DataError(PersonalizeSparkError):
    """Data that cannot be imported or trained on."""


class EnvironmentProblem(PersonalizeSparkError):
    """Something that this machine must have is missing."""


_OF_SPARK = {"delta", "pandas", "pyspark"}
"""What a plain install lacks."""


@contextmanager
def missing_spark_told(instead: str = "") -> Iterator[None]:
    """Say what a plain install lacks; `instead` is another way.

    Raises:
        EnvironmentProblem: in place of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _OF_SPARK:
            raise
        raise EnvironmentProblem(
            f"This needs {error.name}, which is not installed: pip install 'personalize-spark[spark]'.{instead}"
        ) from error


@contextmanager
def interrupts_told() -> Iterator[None]:
    """Tell Ctrl-C and SIGTERM apart from failures of Spark, and lose none.

    Raises:
        KeyboardInterrupt: in place of an error behind it; see `was_interrupted`.
    """
    try:
        with _repeated_where_lost():
            yield
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise


@contextmanager
def _repeated_where_lost() -> Iterator[None]:
    """Interrupt again a moment later where Python drops an interrupt: one that came while an object was finalized, as many of py4j's are."""
    main = threading.main_thread()
    if threading.current_thread() is not main:  # only that one is interrupted
        yield
        return
    before = sys.unraisablehook

    def heard(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main.ident, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = before


def was_interrupted(error: BaseException) -> bool:
    """Whether an error is an interrupt, or took its place: py4j cuts the connection then, and what pyspark says next to the JVM fails."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__context__
    return behind is not None


class TaskFailed(PersonalizeSparkError):
    """A task died of something that it does not report: a foreign exception, or the death of its process."""


class EngineLost(PersonalizeSparkError):
    """What runs the tasks is gone; another driver may go on."""


class JobFailed(PersonalizeSparkError):
    """A job that cannot go on; the message becomes its `failureReason`."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The hint that a message gives behind a wrong name: `` (did you mean 'films'?)``, or nothing if no name is like it."""
    near = difflib.get_close_matches(name, names, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def quoted(text: str) -> str:
    """A text of the user's in a message: cut, and without a byte that a terminal obeys."""
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}...")


def counted(number: int, noun: str) -> str:
    """A count with the right plural: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def reason_of(error: BaseException) -> str:
    """The `failureReason` of what an error ended: of this tree its message, of the system what and where, of another one its type too.

    It is cut, as Spark's messages end with pages of stack.
    """
    if was_interrupted(error):
        return "The driver was stopped."
    if isinstance(error, PersonalizeSparkError):
        return error.message
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return f"{type(error).__name__}: {error}"[:1000]
