from typing import Any

from greetings import GREETING


def lambda_handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": GREETING}
