"""The host's cache: artifact files on the local disk, one copy for all workers of a host."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from pathlib import Path

from personalize_spark.errors import ArtifactError
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Store, stream

# Databricks mounts object storage here: a path, but no local disk to map.
_MOUNTS = ("/Volumes/", "/dbfs/")
MAX_SHARE_OF_DISK = 0.5


def cache_folder() -> Path:
    """A folder of this user alone, made if need be.

    It lies under Spark's local directory, so that it goes with the application where the platform cleans up.

    Raises:
        ArtifactError: somebody else made it, or may write there.
    """
    local = os.environ.get("LOCAL_DIRS") or os.environ.get("SPARK_LOCAL_DIRS") or tempfile.gettempdir()
    folder = Path(local.split(",")[0]) / f"personalize-spark-cache-{os.getuid()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = (
        folder.lstat()
    )  # its name can be guessed: a link would lead elsewhere, and files of a stranger would be taken for ours
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise ArtifactError(
            f"The cache folder {folder} is not this user's alone: remove it, or name another local folder (spark.local.dir, TMPDIR)."
        )
    folder.chmod(0o700)
    return folder


def local_path(store: Store, name: str, sha256: str) -> Path:
    """The file itself where it lies on a local disk, else its copy in the cache, made if need be.

    Raises:
        ArtifactError: what arrived is not what the manifest names.
    """
    if isinstance(store, FileStore) and not str(store.folder).startswith(_MOUNTS):
        return store.path(name)
    folder = cache_folder()
    path = folder / sha256
    with (folder / f"{sha256}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the workers of a host, one fetches and the others wait
        if not path.exists():
            _make_room(folder)
            _fetch(store, name, sha256, path)
        os.utime(path)
    return path


def _fetch(store: Store, name: str, sha256: str, path: Path) -> None:
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}")
    digest = hashlib.sha256()
    found = next((found for found in store.list(name) if found.name == name), None)
    if found is None:
        raise ArtifactError(f"{store.root}{name} is missing: the artifact is incomplete; train or import it again.")
    try:
        with stream(store, found) as source, unfinished.open("wb") as target:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != sha256:
            raise ArtifactError(
                f"{store.root}{name} is damaged: its SHA-256 is not the manifest's; restore or retrain it."
            )
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    """Drop what was not used for longest while the cache takes more than its share of the disk."""
    files = []
    for path in (path for path in folder.iterdir() if path.suffix == ""):
        with contextlib.suppress(FileNotFoundError):  # another worker makes room as well
            state = path.stat()
            files.append((state.st_mtime_ns, state.st_size, path))
    used = sum(size for _, size, _ in files)
    allowed = (shutil.disk_usage(folder).free + used) * MAX_SHARE_OF_DISK
    for _, size, path in sorted(files):
        if used <= allowed:
            return
        used -= size
        path.unlink(missing_ok=True)  # a worker that has it mapped keeps it until it lets go
