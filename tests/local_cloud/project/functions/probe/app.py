"""Does what its event says, so that tests can look at an execution environment from inside."""

import json
import os
import time
from typing import Any

_calls = 0


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    global _calls
    _calls += 1
    what = event.get("do") or event["pathParameters"]["what"]
    seconds = float(event.get("seconds") or (event.get("queryStringParameters") or {}).get("s", 1))
    match what:
        case "sleep":
            time.sleep(seconds)
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
