"""No network for this process, for good, whatever it runs later: a seccomp filter, made by itself.

It needs no privilege and no user namespace, so it also holds where bubblewrap cannot work: in a container that may not
make namespaces, which every hardened Kubernetes pod is. Linux on x86-64 and arm64; elsewhere nothing is sealed.
"""

import ctypes
import errno
import platform
import struct
import sys

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # prctl's options
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # where they stand in struct seccomp_data
_FIRST_OF_X32 = 0x40000000

# The kernel's name of the architecture, and its numbers of the calls that reach another host or become another program:
# socket, socketpair, io_uring_setup, connect, execve, execveat, ptrace.
_ARCHITECTURES = {
    "x86_64": (0xC000003E, (41, 53, 425, 42, 59, 322, 101)),
    "aarch64": (0xC00000B7, (198, 199, 425, 203, 221, 281, 117)),
}


def seal() -> bool:
    """Refuse those calls from now on, in this process and all it starts. False where the platform cannot."""
    known = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    program = ctypes.create_string_buffer(_program(*known))
    described = _Program(len(program.raw) // 8, ctypes.cast(program, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.restype = ctypes.c_int
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    # Without new privileges first: only so may a process that is not root filter itself.
    sealed: bool = prctl(_NO_NEW_PRIVILEGES, 1, None, 0, 0) == 0
    return sealed and bool(prctl(_SECCOMP, _FILTER, ctypes.byref(described), 0, 0) == 0)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _program(architecture: int, refused: tuple[int, ...]) -> bytes:
    """Each jump counts the instructions to leave out: to the refusal, which is the last but one, or to none."""
    calls = len(refused)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, calls + 2, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, calls, 0, _FIRST_OF_X32),
        *((_EQUAL, calls - 1 - i, 0, number) for i, number in enumerate(refused[:-1])),
        (_EQUAL, 0, 1, refused[-1]),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
