"""Shows what a function is given, and answers what a request asks it to.

`X-Answer` is the answer as base64 of JSON. Without it the answer is the event, as JSON.
"""

import base64
import hashlib
import json
import time
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> Any:
    wanted = _header(event, "x-answer")
    answer = {} if wanted is None else json.loads(base64.b64decode(wanted))
    what = answer.pop("$do", None) if isinstance(answer, dict) else None
    match what:
        case "raise":
            raise ValueError(answer["words"])
        case "sleep":
            time.sleep(answer["seconds"])
            return {"statusCode": 200, "body": '"late"'}
        case "fill":
            return {"statusCode": 200, "body": "x" * answer["bytes"]}
        case "measure":
            # The whole event may be larger than what Lambda gives back.
            event = {**event, "body": _measured(event)}
        case _ if wanted is not None:
            return answer
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(event),
    }


def _header(event: dict[str, Any], wanted: str) -> str | None:
    return next((value for name, value in event["headers"].items() if name.lower() == wanted), None)


def _measured(event: dict[str, Any]) -> dict[str, Any]:
    text = event.get("body") or ""
    content = base64.b64decode(text) if event["isBase64Encoded"] else text.encode()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
