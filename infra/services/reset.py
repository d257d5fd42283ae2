"""Stop the local cloud of a data folder, if it runs, and wipe the folder.

python -m infra.services.reset --data-folder .local
"""

import argparse
import asyncio
import shutil
import signal
import sys
from pathlib import Path

from infra.services.process_identity import ProcessIdentity, end_process
from infra.services.records import read_record

# A supervisor lets requests finish and stops one part after the other.
_PATIENCE_SECONDS = 60.0


async def stop_cloud(data_folder: Path) -> None:
    """Stop the supervisor in order; then what it may have left behind, whose data goes anyway."""
    records = [read_record(path) for path in sorted(data_folder.glob("*/process.json"))]
    for role, stop_signal in (("supervisor", signal.SIGTERM), ("process", signal.SIGKILL)):
        for record in filter(None, records):
            process = ProcessIdentity(**record[role])
            if process.is_alive():
                print(f"stopping process {process.pid}")
                await end_process(process, stop_signal, _PATIENCE_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-folder", type=Path, required=True)
    data_folder: Path = parser.parse_args().data_folder.absolute()
    asyncio.run(stop_cloud(data_folder))
    if not data_folder.exists():
        print(f"{data_folder} does not exist: there is nothing to wipe")
        return
    try:
        shutil.rmtree(data_folder)
    except PermissionError as refused:
        sys.exit(
            f"{refused.filename} belongs to another account, as when root started the local "
            "cloud before. Wipe it as root: sudo make reset"
        )
    print(f"wiped {data_folder}")


if __name__ == "__main__":
    main()
