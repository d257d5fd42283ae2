"""Does what its event says, so that tests can look at an execution environment from inside."""

import json
import os
import time
from pathlib import Path
from typing import Any

_calls = 0


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    global _calls
    _calls += 1
    what = event.get("do") or event["pathParameters"]["what"]
    given = {**event, **(event.get("queryStringParameters") or {})}
    match what:
        case "sleep":
            time.sleep(float(given["seconds"]))
        case "wait":
            # Says that it has begun, and ends when it is told to.
            folder = Path(given["folder"])
            (folder / context.aws_request_id).touch()
            while not (folder / "go").exists():
                time.sleep(0.01)
        case "exit":
            os._exit(3)
        case "raise":
            raise ValueError("as asked")
        case "large":
            return "x" * event["bytes"]
        case "log":
            print("first line")
            print("second line")
    answer = {
        "calls": _calls,
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "event": event,
    }
    return answer if "do" in event else {"statusCode": 200, "body": json.dumps(answer)}
