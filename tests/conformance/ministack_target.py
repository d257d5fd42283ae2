"""The same APIs in MiniStack, deployed from the same templates as this project's own is.

`make compare` asks them every pair and prints where AWS answers otherwise. It fails on
nothing: what another project's emulator does is not this one's to assert.
"""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from infra.deploy_local.gateway import complete
from infra.deploy_local.stack import Stack
from infra.deploy_local.target import REGION, Target
from infra.local.template.reader import read_template
from infra.services.ministack import MiniStackService
from tests.conformance.exchange import Endpoint, observe
from tests.conformance.pairs import PAIRS, TEMPLATES

_PARTS = ("apigateway", "cloudformation", "iam", "lambda", "logs", "s3", "sts")
_BUCKET = "code"
_SHOWN_CHARACTERS = 100
# Authorizers and HTTP APIs apart, which are not deployed there.
_ASKED = {name: TEMPLATES[name] for name in sorted({pair.api for pair in PAIRS})}


@contextmanager
def ministack_gateways(templates: dict[str, Path], folder: Path) -> Iterator[dict[str, Endpoint]]:
    """Deploys each template to a MiniStack of its own; the API by the template's name."""
    service = MiniStackService(
        "MiniStack",
        folder / "data",
        folder / "ministack.log",
        0,
        parts=_PARTS,
        access_key_id="000000000000",
        keeps_state=False,
    )
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(service.start())
        target = Target(
            service.url, service.access_key_id, service.secret_access_key, "", "", parameters={}
        )
        target.client("s3").create_bucket(Bucket=_BUCKET)
        yield {name: _deploy(target, name, path) for name, path in templates.items()}
    finally:
        loop.run_until_complete(service.stop())
        loop.close()


def _deploy(target: Target, name: str, path: Path) -> Endpoint:
    template = read_template(path, {}, REGION)
    (api,) = template.rest_apis
    formation = target.client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(_translated(target, name, path)),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 3600}
    )
    stack = Stack(target, name)
    complete(target, stack, api)
    port = int(target.endpoint_url.rpartition(":")[2])
    host = f"{stack.physical_id('Api')}.execute-api.localhost:{port}"
    return Endpoint(("127.0.0.1", port), host, f"/{api.stage}")


def _translated(target: Target, name: str, path: Path) -> object:
    """CloudFormation's template, its code in the bucket."""
    from boto3 import Session

    source = yaml_parse(path.read_text())
    for logical_id, resource in source["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            key = f"{name}/{logical_id}.zip"
            content = _zipped(path.parent / resource["Properties"]["CodeUri"])
            target.client("s3").put_object(Bucket=_BUCKET, Key=key, Body=content)
            resource["Properties"]["CodeUri"] = {"Bucket": _BUCKET, "Key": key}
    session = Session(
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        region_name=REGION,
    )
    return Translator(None, Parser(), boto_session=session).translate(
        source, parameter_values={}, get_managed_policy_map=dict
    )


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.py")):
            archive.write(file, file.relative_to(folder))
    return buffer.getvalue()


def compare() -> None:
    as_aws = 0
    with TemporaryDirectory() as folder, ministack_gateways(_ASKED, Path(folder)) as endpoints:
        for pair in PAIRS:
            observed = observe(endpoints[pair.api].send(pair.request), pair.expected)
            if observed == pair.expected:
                as_aws += 1
                continue
            print(f"{pair.says}")
            for selector, expected in pair.expected.items():
                if observed[selector] != expected:
                    print(f"    {selector}: {_shown(observed[selector])}, not {_shown(expected)}")
    print(f"MiniStack {version('ministack')} answers {as_aws} of {len(PAIRS)} pairs as AWS does")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


if __name__ == "__main__":
    compare()
