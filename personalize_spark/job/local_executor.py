"""Tasks in processes of this machine: no JVM, no session.

The driver starts a foreman (`local_workers`) and talks to it through a socket, which all workers hold too: where the socket ends,
no process is left. One that waits for a disk that does not answer cannot even be killed; after ten seconds it is left alone. When the
disk answers, it ends before it does anything more.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from personalize_spark.errors import TaskFailed
from personalize_spark.job.executor import Ended
from personalize_spark.job.local_workers import Stage, ending

if TYPE_CHECKING:  # the foreman is to import these while the driver does
    from personalize_spark.job.executor import Work
    from personalize_spark.job.splits import Split
    from personalize_spark.storage.store import Store

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from personalize_spark.job.local_workers import main; main(int(sys.argv[2]))"
)
_DYING_SECONDS = 10.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class LocalExecutor:
    """Runs tasks in worker processes, one on every core; used as a context manager, behind which no process is left."""

    def __init__(self, cores: int | None = None) -> None:
        self.cores, self.retries = cores or os.cpu_count() or 1, 0
        self.here = False  # the first stage waits for what the workers import, whatever it does
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`. An exception fails its task at once, the death of a worker only at the fourth time."""
        if self._stopped or self._foreman.returncode is not None:
            self._end()
            self._start()
        try:
            stage = Stage(staging.root, staging.access, tasks, *_named(work))
            self._control.sendall(msgspec.json.encode(stage) + b"\n")
            reply = self._replies.readline()
        except OSError:
            reply = b""
        except BaseException:
            self._end()  # tasks would write into a staging folder that is gone
            raise
        if not reply:
            code = self._foreman.wait()
            self._close()
            raise TaskFailed(f"The process that starts the workers {ending(code)}.")
        ended = msgspec.json.decode(reply, type=Ended)
        self.retries += ended.retries
        if ended.died is not None:
            raise TaskFailed(ended.died)
        return ended.failures

    def stop(self) -> None:
        """As `Executor.stop`; the next stage has new processes."""
        self._stopped = True
        if self._foreman.returncode is None:  # its number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._foreman.pid, signal.SIGKILL)
            timer = threading.Timer(_DYING_SECONDS, _hang_up, [self._control])
            timer.daemon = True
            timer.start()

    def memory(self) -> int:
        """The bytes that its processes hold of their own, what several of them share counted once; 0 where the system does not tell."""
        foreman, held = self._foreman.pid, 0
        with contextlib.suppress(OSError):
            workers = Path(f"/proc/{foreman}/task/{foreman}/children").read_text("ascii").split()
            for each in (foreman, *workers):
                held += _own_bytes(Path(f"/proc/{each}/smaps_rollup"))
        return held

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """As `Executor.gather`: there is one host, which has all rows anyway."""
        del staging
        return list(splits)

    def _start(self) -> None:
        self._stopped = False
        self._control, theirs = socket.socketpair()
        self._replies = self._control.makefile("rb")
        with theirs:
            self._foreman: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), str(self.cores)],
                stdin=theirs.fileno(),
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for the driver, which ends the others
            )

    def _end(self) -> None:
        """Kill all processes, and wait until they are gone."""
        if self._foreman.returncode is None:
            self.stop()
            with contextlib.suppress(OSError):
                while self._replies.read(1 << 16):
                    pass
            self._foreman.wait()
            self._close()

    def _close(self) -> None:
        self._replies.close()
        self._control.close()


def _own_bytes(process: Path) -> int:
    """Of a process that may have ended; files that it maps do not count."""
    with contextlib.suppress(OSError):
        for line in process.read_text("ascii", "replace").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) << 10
    return 0


def _hang_up(control: socket.socket) -> None:
    """Have who reads see the end, whoever else still holds the socket."""
    with contextlib.suppress(OSError):  # it is closed by now
        control.shutdown(socket.SHUT_RDWR)


def _named(work: Work) -> tuple[str, list[Any]]:
    """The function's name as `module:name`, and the arguments that are bound to it."""
    function, arguments = (work.func, work.args) if isinstance(work, partial) else (work, ())
    return f"{function.__module__}:{function.__name__}", list(arguments)
