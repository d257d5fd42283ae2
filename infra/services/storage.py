"""S3 by MiniStack, with its objects as files in the data folder."""

import os
from pathlib import Path

from infra.services.ministack import MiniStackService


class S3Service(MiniStackService):
    """MiniStack with its S3 and nothing else.

    An object outlives a killed process. The settings of a bucket (policy, CORS, life cycle) are
    saved by an orderly stop only, and a bucket that is still empty may be forgotten: whoever starts
    this creates and configures the buckets anew.
    """

    def __init__(self, data_folder: Path, log_folder: Path, port: int | None = None) -> None:
        """`port`: None keeps last time's port, or 4566, while it is free; 0 takes any free one."""
        super().__init__(
            "S3",
            data_folder / "s3",
            log_folder / "s3.log",
            port,
            parts=["s3"],
            access_key_id="LOCALCLOUD",
            keeps_state=True,
        )

    def _before_start(self) -> None:
        """Remove the temporary files of writes that were cut off.

        MiniStack would list them as objects. A real object whose name ends the same way has its
        metadata beside it.
        """
        for folder, _, names in os.walk(self._objects):
            for name in names:
                path = Path(folder, name)
                if name.endswith(".tmp") and not path.with_name(f"{name}.meta.json").exists():
                    path.unlink()
