"""Mock integrations: answers without a function, such as a browser's CORS preflight gets.

SAM's translator makes one for OPTIONS of each path where the template says `Cors`.
"""

import re

from aiohttp import web

from infra.local.gateway.request import Request
from infra.local.gateway.rest_api.gateway_responses import (
    NO_MOCK_ANSWER,
    UNSUPPORTED_MEDIA_TYPE,
    Failure,
)
from infra.local.gateway.rest_api.mapping import mapped_response
from infra.local.template.model import MockIntegration


def mock_response(request: Request, integration: MockIntegration) -> web.Response | Failure:
    """The answer that fits the mock's status."""
    media_type = request.content_type.split(";")[0].strip().lower()
    if integration.content_types is not None and media_type not in integration.content_types:
        return UNSUPPORTED_MEDIA_TYPE
    for answer in integration.responses:
        if answer.pattern == "default" or re.fullmatch(answer.pattern, str(integration.status)):
            return mapped_response(request, answer.status, answer.headers, answer.templates)
    return NO_MOCK_ANSWER
