"""The same APIs in MiniStack, deployed from the same templates through its CloudFormation."""

import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from infra.local.services.ports import free_port
from tests.conformance.exchange import Endpoint

_REGION = "us-east-1"
_BUCKET = "code"
_START_SECONDS = 60.0


@contextmanager
def ministack_gateways(templates: dict[str, Path], folder: Path) -> Iterator[dict[str, Endpoint]]:
    """Deploys each template to a MiniStack of its own; the API by the template's name."""
    with _ministack(folder) as port:
        session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=_REGION
        )
        clients: dict[str, Any] = {
            name: session.client(name, endpoint_url=f"http://127.0.0.1:{port}")
            for name in ("s3", "cloudformation")
        }
        clients["s3"].create_bucket(Bucket=_BUCKET)
        yield {
            name: _deploy(session, clients, name, path, port) for name, path in templates.items()
        }


@contextmanager
def _ministack(folder: Path) -> Iterator[int]:
    port = free_port()
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": _REGION,
        "PERSIST_STATE": "0",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }
    # Should the tests be killed, it ends with them.
    command = ["setpriv", "--pdeathsig", "TERM", "--"]
    command += [sys.executable, "-P", "-m", "hypercorn", "ministack.app:app"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", "0", "--log-level", "WARNING"]
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "MiniStack ended by itself"
        assert time.monotonic() < deadline, "MiniStack did not start in time"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)


def _deploy(
    session: boto3.Session, clients: dict[str, Any], name: str, path: Path, port: int
) -> Endpoint:
    source = yaml_parse(path.read_text())
    for logical_id, resource in source["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            key = f"{name}/{logical_id}.zip"
            content = _zipped(path.parent / resource["Properties"]["CodeUri"])
            clients["s3"].put_object(Bucket=_BUCKET, Key=key, Body=content)
            resource["Properties"]["CodeUri"] = {"Bucket": _BUCKET, "Key": key}
    translated = Translator(None, Parser(), boto_session=session).translate(
        source, parameter_values={}, get_managed_policy_map=dict
    )
    formation = clients["cloudformation"]
    formation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(translated),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    described = formation.describe_stack_resource(StackName=name, LogicalResourceId="Api")
    api_id = described["StackResourceDetail"]["PhysicalResourceId"]
    return Endpoint(("127.0.0.1", port), f"{api_id}.execute-api.localhost:{port}", "/v1")


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.py")):
            archive.write(file, file.relative_to(folder))
    return buffer.getvalue()
