"""A template as it is run for a debugger: whoever looks at a stopped function takes their time."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from infra.local.template.model import (
    UNTIMED_SECONDS,
    Api,
    FunctionIntegration,
    HttpApi,
    Route,
    Template,
    TemplateError,
)


def without_time_outs(template: Template, names: Collection[str]) -> Template:
    """With no time-out for these functions, nor for requests to them. Raises TemplateError."""
    if not names:
        return template
    chosen = set(debug_ports(template, names, 0))
    functions = {
        logical_id: replace(function, timeout_seconds=UNTIMED_SECONDS)
        if logical_id in chosen
        else function
        for logical_id, function in template.functions.items()
    }
    return replace(
        template,
        functions=functions,
        rest_apis=tuple(_untimed(api, chosen) for api in template.rest_apis),
        http_apis=tuple(_untimed_http(api, chosen) for api in template.http_apis),
    )


def _untimed(api: Api, chosen: Collection[str]) -> Api:
    return replace(api, routes=tuple(_untimed_route(route, chosen) for route in api.routes))


def _untimed_http(api: HttpApi, chosen: Collection[str]) -> HttpApi:
    default = api.default_route
    return replace(
        api,
        routes=tuple(_untimed_route(route, chosen) for route in api.routes),
        default_route=default and _untimed_route(default, chosen),
    )


def _untimed_route(route: Route, chosen: Collection[str]) -> Route:
    integration, authorizer = route.integration, route.authorizer
    if isinstance(integration, FunctionIntegration) and integration.function_id in chosen:
        integration = replace(integration, timeout_seconds=UNTIMED_SECONDS)
    if authorizer is not None and authorizer.function_id in chosen:
        authorizer = replace(authorizer, timeout_seconds=UNTIMED_SECONDS)
    return replace(route, integration=integration, authorizer=authorizer)


def debug_ports(template: Template, names: Collection[str], first_port: int) -> Mapping[str, int]:
    """Where each of these functions, by logical id, waits for a debugger. Raises TemplateError."""
    try:
        chosen = [template.function(name).logical_id for name in names]
    except KeyError as error:
        raise TemplateError(f"DEBUG: {error.args[0]}") from error
    return {logical_id: first_port + number for number, logical_id in enumerate(chosen)}
