"""Which drives an SQLite ledger is kept off, told from literal mount tables."""

from pathlib import PurePosixPath

import pytest

from kiva_pipeline.submission.file_systems import shared_file_system

LAPTOP = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
31 22 254:3 / /home rw,relatime shared:12 - btrfs /dev/mapper/home rw,compress=zstd
40 31 0:52 / /home/amina/kiva\\040files rw,relatime shared:77 - cifs //nas/kiva rw,vers=3.1.1
41 31 0:53 / /home/amina/sshfs rw,nosuid,nodev - fuse.sshfs server:/data rw,user_id=1000
42 31 8:17 / /home/amina/stick rw,nosuid,nodev - fuseblk /dev/sdb1 rw,user_id=0
"""
SERVER = """\
25 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw
90 25 0:44 / /srv rw,relatime master:9 propagate_from:2 - nfs4 10.0.0.5:/srv rw,vers=4.2
91 90 259:5 / /srv/local rw,relatime - ext4 /dev/nvme1n1p1 rw
"""
CONTAINER = """\
612 560 0:97 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
620 612 254:1 /var/lib/docker/volumes/kiva/_data /state rw,relatime - ext4 /dev/vda1 rw
630 612 0:46 / /mac rw,relatime - fuse.grpcfuse grpcfuse rw
631 612 0:47 / /vm rw,relatime - virtiofs share rw
632 612 0:48 / /wsl rw,relatime - 9p C:\\134 rw,dirsync,aname=drvfs
"""


@pytest.mark.parametrize(
    ("table", "folder", "kind"),
    [
        (LAPTOP, "/home/amina/kiva files/state", "cifs"),
        (LAPTOP, "/home/amina/sshfs", "fuse.sshfs"),
        (SERVER, "/srv/kiva", "nfs4"),
        (CONTAINER, "/mac/kiva", "fuse.grpcfuse"),
        (CONTAINER, "/vm", "virtiofs"),
        (CONTAINER, "/wsl/kiva", "9p"),
    ],
)
def test_a_drive_that_another_machine_can_reach_is_shared(table, folder, kind):
    assert shared_file_system(table, PurePosixPath(folder)) == kind


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        (LAPTOP, "/var/lib/kiva"),
        (LAPTOP, "/home/amina/state"),
        (LAPTOP, "/home/amina/sshfs-notes"),  # a folder whose name begins like a mount's
        (LAPTOP, "/home/amina/stick/state"),
        (SERVER, "/srv/local/kiva"),  # a disk of its own inside a network drive
        (CONTAINER, "/state"),
        (CONTAINER, "/tmp"),
    ],
)
def test_a_disk_of_this_machine_is_not(table, folder):
    assert shared_file_system(table, PurePosixPath(folder)) == ""


def test_of_two_mounts_on_one_place_the_later_one_counts():
    over = SERVER + "99 90 0:60 / /srv/local rw - nfs 10.0.0.6:/other rw\n"
    assert shared_file_system(over, PurePosixPath("/srv/local")) == "nfs"


@pytest.mark.parametrize("table", ["", "nonsense\n", "1 2 3 - \n", "- - -\n", "22 1 254:0 / /\n"])
def test_a_table_that_cant_be_read_says_nothing(table):
    assert shared_file_system(table, PurePosixPath("/srv")) == ""
