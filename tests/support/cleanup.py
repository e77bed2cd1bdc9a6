"""`python -m tests.support.cleanup DIRECTORY`: ends roles and servers that were started below it by somebody who was killed."""

import subprocess
import sys
from pathlib import Path

from services.stack.processes import BackgroundProcess


def end_all(directory: Path) -> None:
    """Kills what has a record below the directory, roles and servers alike, and takes small disks away."""
    for record in sorted(directory.glob("**/run/*.json")):
        BackgroundProcess(record.stem, record.parent.parent).kill_hard()
    for data in directory.glob("*/data"):
        if data.is_mount():
            subprocess.run(["umount", "--lazy", str(data)], capture_output=True, check=False)


if __name__ == "__main__":
    end_all(Path(sys.argv[1]))
