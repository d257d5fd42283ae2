"""A template as it is run for a debugger: whoever looks at a stopped function takes their time."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from infra.local.template.model import (
    UNTIMED_SECONDS,
    FunctionIntegration,
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
    api = template.api and replace(
        template.api,
        routes=tuple(
            replace(route, integration=replace(route.integration, timeout_seconds=UNTIMED_SECONDS))
            if isinstance(route.integration, FunctionIntegration)
            and route.integration.function_id in chosen
            else route
            for route in template.api.routes
        ),
    )
    return replace(template, functions=functions, api=api)


def debug_ports(template: Template, names: Collection[str], first_port: int) -> Mapping[str, int]:
    """Where each of these functions, by logical id, waits for a debugger. Raises TemplateError."""
    try:
        chosen = [template.function(name).logical_id for name in names]
    except KeyError as error:
        raise TemplateError(f"DEBUG: {error.args[0]}") from error
    return {logical_id: first_port + number for number, logical_id in enumerate(chosen)}
