"""Memory that the supervisor and its workers share, handed on as a file descriptor.

Not `multiprocessing.shared_memory`: that needs ``/dev/shm``, and a process to clean it up.
"""

import mmap
import os


def create(name: str, size: int) -> int:
    """A descriptor of that many bytes, all 0. It lives in memory alone, as long as somebody has it open.

    Raises:
        OSError: There is no memory, or, where the system has no memfd_create(2), no folder for
            temporary files.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        import tempfile  # 0.7 MB, for systems that need it

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def attach(fd: int) -> mmap.mmap:
    """The memory of a descriptor, which may be closed afterwards."""
    return mmap.mmap(fd, os.fstat(fd).st_size)
