"""A RabbitMQ node with a management API, for tests of who makes users: FOLDER PORT, until its input
ends. Says where it is once it is up.
"""

import asyncio
import sys
from pathlib import Path

from infra.services.rabbitmq import RabbitMQService


async def main(folder: Path, management_port: int) -> None:
    service = RabbitMQService(folder, folder, 0, management_port=management_port)
    try:
        await service.start()
        print(service.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
