"""The path of a unix socket: how it is made, taken over if it is stale, and removed again.

Whoever makes a path holds the lock of its folder meanwhile. Without that, one process could take
another's socket for a stale one while it is bound but does not listen yet. The lock is flock(2) on
the folder itself, which needs no file, works in folders that are not ours, and ends with the
process.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
import struct
from contextlib import suppress

from ..endpoints import UNIX
from ..host import ConnectionHost

__all__ = ["FolderLock", "OwnPath", "bind_path"]

_log = logging.getLogger("halfclose")

PATIENCE = 1.0
"""Seconds to wait for a folder's lock, which somebody else may hold for purposes of his own.

After that the path is made without the lock. That goes wrong only if two processes take over the
same stale socket at the same moment: then one of them loses its path.
"""

_RETRY = 0.002
"""Seconds between two attempts to get the lock."""


class FolderLock:
    """Holds the lock of the folder that *path* is in, as an asynchronous context manager.

    If the lock cannot be had within `PATIENCE`, or at all, the block runs without it.
    """

    def __init__(self, backend: ConnectionHost, path: str) -> None:
        self._backend = backend
        self._folder = os.path.dirname(path) or "."
        self._fd = -1

    async def __aenter__(self) -> None:
        try:
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            # The folder cannot be read or does not exist. Binding the path will tell.
            return
        self._backend.hold_descriptors(self._descriptors)
        try:
            await self._lock()
        except BaseException:
            self._close()
            raise

    def _descriptors(self) -> tuple[int, ...]:
        return (self._fd,)

    def _close(self) -> None:
        self._backend.release_descriptors(self._descriptors)
        os.close(self._fd)

    async def _lock(self) -> None:
        """Wait for the lock, in small pauses, since flock(2) itself would block the loop."""
        end = self._backend.time() + PATIENCE
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self._backend.time() >= end:
                    return
                await self._backend.sleep(_RETRY)
            except OSError:
                # This file system has no locks.
                return

    async def __aexit__(self, *exception: object) -> None:
        if self._fd >= 0:
            # Unlocked explicitly, since a child that was forked meanwhile has the descriptor too.
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()


class OwnPath:
    """A path to which we have bound a socket.

    :param endpoint: the path, which may be relative.
    """

    def __init__(self, endpoint: UNIX) -> None:
        self._endpoint = endpoint
        # Absolute, since the program may change its working directory.
        self._path = os.path.abspath(endpoint.path)
        self._id = _path_id(self._path)

    def remove(self) -> None:
        """Remove the path if it is still ours. Idempotent.

        To be called while the socket is open. As soon as it is closed, somebody else may take the
        path over, and his socket may get the same inode.
        """
        ours, self._id = self._id, None
        if ours is not None and _path_id(self._path) == ours:
            try:
                os.unlink(self._path)
            except OSError as error:
                # The endpoint is logged rather than the path, because it is always printable.
                _log.warning("%s: the socket's path stays behind: %s", self._endpoint, error)


def bind_path(sock: socket.socket, endpoint: UNIX, mode: int) -> OwnPath:
    """Bind *sock* to the path of *endpoint*, whose permission bits are never more than *mode*.

    :raises OSError: somebody listens there, or the path is something else than a stale socket.
    """
    path = endpoint.path
    _remove_stale(path)
    # Linux gives the path the mode of the socket itself, less the umask.
    with suppress(OSError):
        os.fchmod(sock.fileno(), mode)
    sock.bind(path)
    own = OwnPath(endpoint)
    try:
        if stat.S_IMODE(os.lstat(path).st_mode) != mode:
            # Set before the socket listens: nobody can connect while the mode is another.
            os.chmod(path, mode)
    except BaseException:
        own.remove()
        raise
    return own


def _remove_stale(path: str) -> None:
    """Remove a unix socket that no process uses, and nothing else.

    :raises OSError: the path is no socket, somebody uses it, or the system does not tell.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, "the path exists and is no socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code in (0, errno.EAGAIN, errno.EINPROGRESS):
        # EAGAIN means that the queue of the listener is full.
        raise OSError(errno.EADDRINUSE, "somebody listens there", path)
    if code == errno.ENOENT:
        return
    if code != errno.ECONNREFUSED:
        raise OSError(code, os.strerror(code), path)
    if _is_bound(status):
        raise OSError(errno.EADDRINUSE, "somebody has bound a socket there", path)
    if _path_id(path) == (status.st_dev, status.st_ino):
        os.unlink(path)


_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301
_SHOW_FILE = 2
_FILE = 1
_DONE, _ERROR = 3, 2


def _is_bound(status: os.stat_result) -> bool:
    """Whether a process has a socket bound to the path, although it does not listen (yet).

    Only Linux tells (sock_diag(7)). On other systems a path that refuses counts as stale.
    """
    wanted = struct.pack(
        "=II", status.st_ino & 0xFFFFFFFF, os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    )
    request = struct.pack("=IHHII", 40, _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0)
    request += struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_FILE, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as diag:
            diag.settimeout(1.0)
            diag.send(request)
            while True:
                answer = diag.recv(1 << 16)
                at = 0
                while at + 16 <= len(answer):
                    size, kind = struct.unpack_from("=IH", answer, at)
                    if kind in (_DONE, _ERROR) or size < 16:
                        return False
                    if _has_file(answer[at + 32 : at + size], wanted):
                        return True
                    at += size + 3 & ~3
    except (OSError, AttributeError):
        return False


def _has_file(attributes: bytes, wanted: bytes) -> bool:
    """Whether one socket's *attributes*, in the kernel's answer, have the file *wanted*."""
    at = 0
    while at + 4 <= len(attributes):
        size, kind = struct.unpack_from("=HH", attributes, at)
        if size < 4:
            return False
        if kind == _FILE and attributes[at + 4 : at + size] == wanted:
            return True
        at += size + 3 & ~3
    return False


def _path_id(path: str) -> tuple[int, int] | None:
    """The device and inode of *path*; None if there is no such path."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
