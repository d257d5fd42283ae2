"""GET /health: says whether database, broker and storage answer."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import wiring
from image_api.core.upkeep import health
from image_api.web import http, problems

app = http.resolver()
database, broker, storage = wiring.database(), wiring.broker(), wiring.storage()
responses = problems.documented(health.Report, 503)
responses[503]["content"] = responses[200]["content"]


@app.get(
    "/health",
    operation_id="getHealth",
    summary="Health",
    description="503 names the part that is down.",
    tags=["Operations"],
    responses=responses,
)
def get_health() -> Response[Any]:
    report = health.examine(database, broker, storage)
    if report.status == "ok":
        return http.json_response(report.model_dump(exclude_none=True))
    retry = {"Retry-After": str(health.RETRY_AFTER_SECONDS)}
    return http.json_response(report.model_dump(exclude_none=True), retry, status=503)


lambda_handler = http.lambda_handler(app)
