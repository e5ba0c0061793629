"""One process at a time in a folder: a lock file there, whose lock ends with the process that holds it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nin_onnx.errors import NinOnnxError

__all__ = ["LOCK", "is_locked", "locked"]

LOCK = ".lock"  # in the folder while a process works there, and after one that was killed


@contextlib.contextmanager
def locked(folder: Path, error: NinOnnxError, timeout: float = 0.0, *, remove: bool = False) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made if it is absent.

    `remove`: the lock file at the end, and the folder if nothing else is in it. Only for a `timeout` of 0: a process that waits
    could be given the lock of a file that is gone.

    Raise `error` if another process holds it for longer than `timeout` seconds. On a disk without locks nobody is kept out,
    or everybody is until the lock file is removed, whichever `filelock` does there.
    """
    from filelock import FileLock, Timeout  # comes with torch; nothing else here needs it

    path = folder / LOCK
    lock = FileLock(path)
    made = [folder, *(parent for parent in folder.parents if not parent.exists())]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout, poll_interval=0.1)
    except Timeout as timed_out:
        raise error from timed_out
    except (OSError, NotImplementedError):
        pass  # if nothing can be written here, the first write reports it
    try:
        yield
    finally:
        if remove:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # before the release: after it, the file may be another process's
        lock.release()
        if remove:
            with contextlib.suppress(OSError):  # stops at the first folder that is not empty
                for each in made:
                    each.rmdir()


def is_locked(folder: Path) -> bool | None:
    """Return whether a process holds `folder`; None if the disk cannot tell."""
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    lock.release()
    return False
