"""A RabbitMQ node with a management API, for tests of who makes users: FOLDER, until its input
ends. Says where both are once it is up.
"""

import asyncio
import sys
from pathlib import Path

from infra.services.ports import hold_free_port, port_of
from infra.services.rabbitmq import RabbitMQService


async def main(folder: Path) -> None:
    with hold_free_port() as held:
        service = RabbitMQService(folder, folder, 0, management_port=port_of(held))
        try:
            await service.start()
            print(service.url, f"http://127.0.0.1:{port_of(held)}", flush=True)
            await asyncio.to_thread(sys.stdin.read)
        finally:
            await service.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
