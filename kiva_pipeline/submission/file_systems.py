"""Which file systems an SQLite ledger may not lie on: pure, over the text of Linux's mount table.

What must not break: on a drive that another machine can reach, SQLite's locks and shared memory
don't hold, so that two senders could both believe to be alone.
"""

import re
from pathlib import Path, PurePosixPath

MOUNT_TABLE = Path("/proc/self/mountinfo")

# Reached over a network or from another kernel: neither locks nor shared memory can be relied on.
_SHARED = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2",
    "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
})  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")


def shared_file_system(mount_table: str, path: PurePosixPath) -> str:
    """The type of the file system that a path lies on if it is a shared one, else "".

    Args:
        mount_table: The text of ``/proc/self/mountinfo``.
        path: Absolute, without links.
    """
    found, depth = "", -1
    for line in mount_table.splitlines():
        mount, kind = _mount(line)
        if mount is None or not path.is_relative_to(mount):
            continue
        if len(mount.parts) >= depth:  # a later mount on the same place hides the earlier one
            found, depth = kind, len(mount.parts)
    # Whatever a program of the user's serves (sshfs, s3fs, rclone …) promises no shared memory.
    return found if found in _SHARED or found.startswith("fuse.") else ""


def _mount(line: str) -> tuple[PurePosixPath | None, str]:
    """Where a line of the table mounts what type: ``36 35 98:0 /root /mnt opts - type source``."""
    place, _, rest = line.partition(" - ")
    fields, kind = place.split(" "), rest.partition(" ")[0]
    if len(fields) < 6 or not kind:
        return None, ""
    return PurePosixPath(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])), kind
