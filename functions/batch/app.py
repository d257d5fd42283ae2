"""POST /image/batch: asks for one change of many images, or for their deletion."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core.library import batch
from image_api.web import http, problems

app = http.resolver(tokens=wiring.tokens())
records, sink = wiring.image_records(), wiring.event_sink()


@app.post(
    "/image/batch",
    operation_id="changeImages",
    summary="Change many images",
    description="The same change of up to 100 images, or their deletion. Each is accepted or "
    "refused by itself, and has its result in the place of its id.",
    tags=["Images"],
    responses=problems.documented(batch.BatchAnswer, 400, 401, 409, 413, 422, 503),
)
def change(
    request: Annotated[batch.BatchRequest, Body()], key: http.IdempotencyKey = None
) -> batch.BatchAnswer:
    outcomes = batch.change_all(records, sink, http.caller(app, key), request)
    return batch.BatchAnswer(results=[problems.result(*outcome) for outcome in outcomes])


lambda_handler = http.lambda_handler(app)
