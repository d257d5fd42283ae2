"""The event source mappings of a template alone, for functions that run elsewhere."""

import asyncio

from infra.entry_point import on_stop_signal
from infra.local.logs.stream import LogStream
from infra.local.settings import Settings, SettingsError
from infra.local.template.model import QueueMapping, Template, TemplateError
from infra.local.template.reader import read_template
from infra.local.triggers.event_source import QueuePoller, url_of_poller
from infra.local.triggers.lambda_endpoint import LambdaEndpoint


async def poll(settings: Settings, lambda_url: str, function_name: str | None) -> int:
    """Until a signal. Raises SettingsError, TemplateError."""
    template, mappings = await asyncio.to_thread(_enabled_mappings, settings)
    broker_url = settings.broker_url or _broker_of_running_cloud(settings)
    triggered = {mapping.function_id for mapping in mappings}
    if function_name and len(triggered) > 1:
        raise SettingsError(
            f"Queues trigger {', '.join(sorted(triggered))}: --function can name one alone"
        )
    loop = asyncio.get_running_loop()
    logs = LogStream(as_json=settings.as_json, call_soon=loop.call_soon)
    endpoint = LambdaEndpoint(lambda_url, function_name, settings.variables, settings.region)
    pollers = [
        QueuePoller(mapping, url_of_poller(broker_url, template, mapping), endpoint.invoke, logs)
        for mapping in mappings
    ]
    running = asyncio.gather(*(poller.run() for poller in pollers))
    signals = 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        for poller in pollers:
            poller.stop()
        # A second Ctrl-C ends the wait for the batch in flight; its messages come again.
        if signals > 1:
            running.cancel()

    on_stop_signal(stop)
    for mapping in mappings:
        name = function_name or mapping.function_id
        logs.event("event source", f"{mapping.queue} triggers {name} at {lambda_url}")
    try:
        await running
    except asyncio.CancelledError:
        return 0
    finally:
        logs.flush()
    return 0


def _enabled_mappings(settings: Settings) -> tuple[Template, list[QueueMapping]]:
    template = read_template(
        settings.template, settings.variables, settings.region, settings.parameters
    )
    mappings = [mapping for mapping in template.queue_mappings if mapping.enabled]
    if not mappings:
        raise TemplateError(f"No queue triggers a function of {settings.template.name}")
    return template, mappings


def _broker_of_running_cloud(settings: Settings) -> str:
    """Raises SettingsError."""
    state = settings.running_cloud()
    if state is None:
        raise SettingsError(
            "Which broker? Set RABBITMQ_URL, or start one: python -m infra.local services"
        )
    if "invoke_url" in state:
        raise SettingsError(
            "The local cloud that runs here triggers its functions by itself; "
            "set RABBITMQ_URL to poll another broker"
        )
    return str(state["environment"]["RABBITMQ_URL"])
