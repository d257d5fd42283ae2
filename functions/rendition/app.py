"""GET /image/{image_id}/rendition: any size of an image, for who is signed in or has its link."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import wiring
from image_api.core.renditions import on_demand
from image_api.web import http, problems, rendition_query

app = http.resolver(tokens=wiring.tokens(), takes_links=True)
renditions, link_signer = wiring.renditions_on_demand(), wiring.link_signer()


@app.get(
    "/image/<image_id>/rendition",
    operation_id="getImageRendition",
    summary="Show an image in another size, ratio or format",
    description="Made at the first request for it, and kept. `rendition_url` of an image is this "
    "path with a token, for pages: add what is wanted. Whoever accepts `application/json` gets "
    "the URL as JSON in place of a redirect.",
    tags=["Images"],
    responses=problems.redirected(
        "Where the rendition is",
        *(400, 401, 404, 409, 429, 503),
        or_json=on_demand.RenditionUrl,
        headers=rendition_query.HEADERS,
    ),
)
def get_rendition(
    image_id: http.ImageId,
    width: rendition_query.Width = on_demand.DEFAULT_WIDTH,
    ratio: rendition_query.Ratio = None,
    choice: rendition_query.Choice = "auto",
    download: rendition_query.Download = False,
    token: rendition_query.Token = None,
) -> Response[Any]:
    # For what is not made yet.
    app.waits = True
    link = link_signer.verify(image_id, token) if token else None
    viewer = on_demand.Viewer(
        http.client_address(app), http.signed_in_user(app), link, http.origin(app)
    )
    accept = http.accepted_types(app)
    asked = on_demand.asked_for(width, ratio, choice, accept, download=download)
    answer = renditions.answer(viewer, image_id, asked)
    headers = {
        "Cache-Control": answer.cache_control,
        # The answer allows the origin that has asked, and no other one.
        "Vary": "Accept, Origin" if token else "Accept, Origin, Authorization",
    }
    if on_demand.wants_json(accept):
        return http.json_response({"url": answer.url}, headers)
    return http.redirect(answer.url, headers)


lambda_handler = http.lambda_handler(app)
