"""Lock files, also on disks that have none."""

import errno
import warnings
from pathlib import Path

from filelock import FileLock

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


def hold(path: Path, seconds: float = 0.0) -> FileLock | None:
    """The lock of a file, held; None where the file system knows no locks.

    Args:
        path: of the lock file.
        seconds: to wait for a process that holds it; -1 waits without end.

    Raises:
        Timeout: it still does.
        OSError: the file can't be made.
    """
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            # Its own remedy is a file that stays when a process is killed.
            warnings.filterwarnings("error", "flock not supported")
            lock.acquire(timeout=seconds)
    except (NotImplementedError, UserWarning):  # how versions of filelock put ENOSYS
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return lock
