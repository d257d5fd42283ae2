"""The real template, deployed with the SAM CLI: what comes up, works, changes and fails."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.deploy_local import sam
from infra.deploy_local.deployment import WORK_FOLDER
from infra.deploy_local.sam import SamFailed
from infra.deploy_local.target import Target, database_secret
from tests.commands import output_of, psql
from tests.deployment.deployed_stack import ROOT, DeployedStack
from tests.e2e.api_client import ApiClient

CONFIGURATION = ROOT / "samconfig.toml"
PHOTOS = sorted((ROOT / "tests" / "photos").glob("*.[jp][pn]g"))
# What a deployment is made of, besides what it is told.
_PROJECT = ("template.yaml", "samconfig.toml", "functions", "layers", "infra")

NEW_REVISION = '''"""One table more."""

from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE second_deployment (id bigint)")
'''


@pytest.fixture(scope="module")
def client(deployed: DeployedStack) -> Iterator[ApiClient]:
    with ApiClient(deployed.api_url) as client:
        yield client.sign_up()


def resources_of(formation: Any, stack: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """By logical id; those of a nested stack behind its own and a slash."""
    for page in formation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for item in page["StackResourceSummaries"]:
            name = prefix + item["LogicalResourceId"]
            yield name, item
            if item["ResourceType"] == "AWS::CloudFormation::Stack":
                yield from resources_of(formation, item["PhysicalResourceId"], f"{name}/")


def described(formation: Any, stack: str) -> dict[str, Any]:
    (description,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return dict(description)


def failures_of(formation: Any, stack: str) -> list[str]:
    """The reasons that CloudFormation noted."""
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in formation.describe_stack_events(StackName=stack)["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
    ]


def test_every_resource_of_the_template_is_there_and_complete(
    deployed: DeployedStack, formation: Any
) -> None:
    resources = dict(resources_of(formation, deployed.stack_name))
    assert {item["ResourceStatus"] for item in resources.values()} == {"CREATE_COMPLETE"}
    template = yaml_parse((ROOT / "template.yaml").read_text())
    # SAM appends a hash to the name of a layer.
    names = {re.sub(r"(Layer)[0-9a-f]{10}$", r"\1", name) for name in resources}
    # Where the platform is there already, the proxy's stack is not made.
    conditional = {name for name, made in template["Resources"].items() if "Condition" in made}
    assert set(template["Resources"]) - conditional <= names
    assert not conditional & names
    monitoring = yaml_parse((ROOT / "infra" / "monitoring.yaml").read_text())
    wanted = {
        f"MonitoringStack/{name}"
        for name, resource in monitoring["Resources"].items()
        if "Condition" not in resource
    }
    assert wanted <= names


def test_the_stack_says_where_its_api_is(
    deployed: DeployedStack, formation: Any, client: ApiClient
) -> None:
    outputs = described(formation, deployed.stack_name)["Outputs"]
    (url,) = (item["OutputValue"] for item in outputs if item["OutputKey"] == "ApiUrl")
    assert url == deployed.api_url
    assert client.healthy().json()["status"] == "ok"


def test_the_readmes_walk_leads_through_the_deployed_api(deployed: DeployedStack) -> None:
    # By the kind of name that AWS gives an API: under another, links to it lack the stage.
    origin, api_id = re.fullmatch(
        r"http://(.+)/_aws/execute-api/(\w+)/v1", deployed.api_url
    ).groups()  # type: ignore[union-attr]
    output_of("bash", ROOT / "tests" / "walk.sh", f"http://{api_id}.execute-api.{origin}/v1")


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_an_upload_arrives_byte_for_byte(
    deployed: DeployedStack, target: Target, client: ApiClient, photo: Path
) -> None:
    image = client.uploaded(photo.read_bytes(), photo.name)
    assert image["error"] is None
    assert client.download(image["url"]).content
    storage, bucket = target.client("s3"), deployed.outputs["ImagesBucketName"]
    folder = "/".join(image["file_path"].split("/")[:2])
    (original,) = storage.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/original")["Contents"]
    stored = storage.get_object(Bucket=bucket, Key=original["Key"])["Body"].read()
    assert stored == photo.read_bytes()


def test_a_second_deployment_changes_the_code_and_migrates(
    deployed: DeployedStack,
    formation: Any,
    target: Target,
    client: ApiClient,
    built_template: Path,
    work_folder: Path,
) -> None:
    stack = deployed.stack_name
    before = dict(resources_of(formation, stack))
    project = changed_project(work_folder, built_template.parent / "DependenciesLayer")
    built = asyncio.run(sam.build(project / "template.yaml", work_folder))
    asyncio.run(sam.deploy(built, target, configuration=CONFIGURATION, parameters={}))

    assert described(formation, stack)["StackStatus"] == "UPDATE_COMPLETE"
    assert client.healthy().headers["X-Deployment"] == "second"
    for sql, found in (
        ("SELECT count(*) FROM second_deployment", "0\n"),
        ("SELECT version_num FROM alembic_version", "9999\n"),
    ):
        assert psql(target.database_url, sql).stdout == found
    after = dict(resources_of(formation, stack))
    assert after["Api"]["PhysicalResourceId"] == before["Api"]["PhysicalResourceId"]


def changed_project(folder: Path, built_layer: Path) -> Path:
    """A copy whose health function says so, and whose schema has one revision more.

    The layer of third-party code is as it was, and so is not built once more.
    """
    project = folder / "project"
    project.mkdir()
    for name in _PROJECT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, project / name)
    template = project / "template.yaml"
    text, count = re.subn(
        r"(  DependenciesLayer:\n    Type: .*\n)    Metadata: .*\n((?:.*\n)*?      ContentUri: ).*",
        rf"\g<1>\g<2>{built_layer}",
        template.read_text(),
    )
    assert count == 1
    template.write_text(text)
    health = project / "functions" / "health" / "app.py"
    text = health.read_text()
    healthy = "http.json_response(report.model_dump(exclude_none=True))"
    assert healthy in text
    health.write_text(text.replace(healthy, f'{healthy[:-1]}, {{"X-Deployment": "second"}})'))
    versions = project / "infra" / "migrations" / "image_migrations" / "versions"
    head = max(path.name[:4] for path in versions.glob("0*.py"))
    (versions / "9999_second.py").write_text(NEW_REVISION.format(head=head))
    return project


@pytest.fixture
def broken_stack(formation: Any) -> Iterator[str]:
    yield "broken"
    delete(formation, "broken")


def held(target: Target) -> set[str]:
    """What costs something or stands in the way of a second try, by its name."""
    functions = target.client("lambda").get_paginator("list_functions").paginate()
    logs = target.client("logs").get_paginator("describe_log_groups").paginate()
    roles = target.client("iam").get_paginator("list_roles").paginate()
    return {
        *(each["FunctionName"] for page in functions for each in page["Functions"]),
        *(each["logGroupName"] for page in logs for each in page["logGroups"]),
        *(each["RoleName"] for page in roles for each in page["Roles"]),
        *(each["Name"] for each in target.client("s3").list_buckets()["Buckets"]),
    }


def delete(formation: Any, stack: str) -> None:
    """And waits until it is done, which goes on after the answer."""
    formation.delete_stack(StackName=stack)
    formation.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 3600}
    )


def deploy(template: Path, target: Target, stack: str, *, with_secret: str = "") -> None:
    """With a secret of one's own for the database's roles, the owner's too."""
    names = ("DatabaseSecretArn", "DatabaseAdminSecretArn") if with_secret else ()
    asyncio.run(
        sam.deploy(
            template,
            target,
            configuration=CONFIGURATION,
            stack_name=stack,
            parameters=dict.fromkeys(names, with_secret),
        )
    )


def test_a_first_deployment_that_fails_is_rolled_back_deleted_and_done_again(
    target: Target, formation: Any, broken_stack: str, built_template: Path
) -> None:
    before = held(target)
    arn = target.put_secret("wrong-too", {**database_secret(target.database_url), "password": "no"})

    with pytest.raises(SamFailed, match="DatabaseSchema"):
        deploy(built_template, target, broken_stack, with_secret=arn)
    assert described(formation, broken_stack)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert held(target) == before

    delete(formation, broken_stack)
    deploy(built_template, target, broken_stack)
    assert described(formation, broken_stack)["StackStatus"] == "CREATE_COMPLETE"
    made = held(target) - before
    assert any("UploadFunction" in name for name in made)

    delete(formation, broken_stack)
    # What users stored outlives the stack, and nothing else does.
    assert all("imagesbucket" in name.lower() for name in held(target) - before)


def test_a_migration_that_fails_fails_the_deployment(
    target: Target, formation: Any, broken_stack: str, built_template: Path
) -> None:
    wrong = {**database_secret(target.database_url), "password": "not this one"}
    arn = target.put_secret("wrong", wrong)
    with pytest.raises(SamFailed, match="DatabaseSchema") as failed:
        deploy(built_template, target, broken_stack, with_secret=arn)
    # The kind of the error alone: its text may hold a secret.
    assert failures_of(formation, broken_stack) == ["DatabaseSchema: ProgrammingError"]
    assert described(formation, broken_stack)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "not this one" not in str(failed.value)


@pytest.fixture
def built_template(deployed: DeployedStack) -> Path:
    """What the deployment was built from; it is done with it."""
    return WORK_FOLDER / "build" / "template.yaml"
