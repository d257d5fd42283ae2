"""Each purpose's role in the database can do what its statements need, and little else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from image_api import postgres
from image_api.postgres import (
    backfill,
    changes,
    closed_accounts,
    dead_letters,
    history,
    idempotency,
    images,
    janitor,
    legacy_outbox,
    operator_commands,
    processing,
    renditions,
    rerendering,
    revocation,
    sessions,
    tags,
    users,
    waiting_requests,
)
from image_migrations.grants import (
    ACCOUNTS,
    GRANTS,
    IMAGES,
    OPERATIONS,
    PROCESSING,
    PURPOSES,
    SUPPORT,
)
from tests.application import ROOT
from tests.integration import test_plans
from tests.integration.real_services import connect
from tests.template import expansion
from tests.template.document import Deployment, read

# Whose statements a module's are, but for those that the relay runs or that are named here.
MODULES: dict[ModuleType, str] = {
    users: ACCOUNTS,
    images: IMAGES,
    idempotency: IMAGES,
    history: IMAGES,
    changes: OPERATIONS,
    janitor: OPERATIONS,
    operator_commands: SUPPORT,
    closed_accounts: OPERATIONS,
    sessions: ACCOUNTS,
    renditions: IMAGES,
    legacy_outbox: OPERATIONS,
    processing: PROCESSING,
    dead_letters: OPERATIONS,
    rerendering: PROCESSING,
    revocation: PROCESSING,
    backfill: PROCESSING,
    waiting_requests: IMAGES,
    tags: IMAGES,
}
OTHERS = {
    "users._FORGET_FAILURES": ACCOUNTS,
    "images._DELETE_TRASHED": OPERATIONS,
    "changes._MARK_REQUEST": IMAGES,
    "changes._MARK_OUTCOME": PROCESSING,
    "dead_letters._SENT": PROCESSING,
    "history._EVENTS": OPERATIONS,
    "legacy_outbox._BELIEVE": PROCESSING,
    "legacy_outbox._WAS_APPLIED": PROCESSING,
    "legacy_outbox._REOPEN": PROCESSING,
}
WITHOUT_STATEMENTS = {"acceptance", "database", "listing", "token_checks"}
# Of which there is one for each combination of filters.
PAGES = {name: text for name, (text, _, _) in test_plans._pages()}

_STATEMENT = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")
_BLANK = re.compile(r"\{[a-z_]+\}")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


def statements() -> Iterator[tuple[str, str, str]]:
    """Name, purpose and text of each."""
    for module, purpose in MODULES.items():
        for name, text in vars(module).items():
            # Those without an underscore, and with something to be filled in, are parts of others.
            if not name.startswith("_") or not isinstance(text, str) or _BLANK.search(text):
                continue
            if _STATEMENT.match(text):
                full_name = f"{module.__name__.rpartition('.')[2]}.{name}"
                default = OPERATIONS if name.startswith("_FORGET") else purpose
                yield full_name, OTHERS.get(full_name, default), text
    yield from ((name, IMAGES, text) for name, text in PAGES.items())
    yield "closed_accounts.CLOSE", ACCOUNTS, closed_accounts.CLOSE
    yield "closed_accounts.CLOSE_FOR_OPERATOR", SUPPORT, closed_accounts.CLOSE_FOR_OPERATOR
    yield "forget failures for an operator", SUPPORT, users._FORGET_FAILURES


STATEMENTS = {name: (purpose, text) for name, purpose, text in statements()}


@pytest.fixture(scope="module")
def connections(migrated_database: tuple[str, str, str]) -> Iterator[dict[str, Connection]]:
    """One of each purpose's role for all tests: none of them writes, nor needs any row."""
    made = {each: connect(migrated_database[2].format(purpose=each)) for each in PURPOSES}
    yield made
    for connection in made.values():
        connection.close()


def test_every_table_is_granted_to_somebody_or_nobody_on_purpose(sql: Connection) -> None:
    present = {
        str(name)
        for (name,) in sql.run(
            "SELECT relname FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        )
    }
    assert present - GRANTS.keys() == set(), "add each to GRANTS in image_migrations/grants.py"
    assert GRANTS.keys() - present == set(), "in image_migrations/grants.py, and not in the schema"
    assert {purpose for granted in GRANTS.values() for purpose in granted} == set(PURPOSES)


def test_every_module_with_statements_says_whose_they_are() -> None:
    modules = {path.stem for path in (ROOT / "layers/common/image_api/postgres").glob("[a-z]*.py")}
    named = {module.__name__.removeprefix(f"{postgres.__name__}.") for module in MODULES}
    assert modules - named == WITHOUT_STATEMENTS, "say in MODULES whose its statements are"
    assert STATEMENTS.keys() >= OTHERS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_purposes_role_may_run_its_statements(
    connections: dict[str, Connection], name: str
) -> None:
    purpose, text = STATEMENTS[name]
    numbers: dict[str, int] = {}
    numbered = _PARAMETER.sub(lambda match: _number_of(match[1], numbers), text)
    try:
        # Postgres checks rights when it begins to execute, as here, and plans for no values.
        connections[purpose].execute_simple(f"EXPLAIN (GENERIC_PLAN) {numbered}")
    except DatabaseError as error:
        reason = error.args[0]
        if reason["C"] != "42501":
            raise
        table = str(reason["M"]).rpartition(" ")[2]
        pytest.fail(
            f"{name} runs as the role for {purpose}: {reason['M']}. Add what it needs to "
            f'GRANTS["{table}"][{purpose.upper()}] in image_migrations/grants.py, or say in '
            "OTHERS here that it is another purpose's"
        )


def _number_of(name: str, numbers: dict[str, int]) -> str:
    return f"${numbers.setdefault(name, len(numbers) + 1)}"


def test_every_function_with_a_secret_of_the_database_has_that_of_its_purpose() -> None:
    present = expansion.present()
    for function in Deployment(read(ROOT / "template.yaml"), {}).functions:
        found = {
            match[1].lower()
            for _, resource in expansion.rights(present, function.logical_id)
            if (match := re.fullmatch(r"PlatformStack\.Outputs\.(\w+)DatabaseSecretArn", resource))
        }
        if function.name == "migrate":
            assert found == set(PURPOSES)
        elif found:
            purpose = expansion.variables(present, function.logical_id)["DATABASE_PURPOSE"]
            assert found == {purpose}, (
                f"{function.logical_id} has DATABASE_PURPOSE={purpose} in template.yaml, so its "
                f"policy is for PlatformStack.Outputs.{purpose.title()}DatabaseSecretArn"
            )


# What somebody would do who took over a function, and may not.
REFUSED = [
    (IMAGES, "SELECT password_hash FROM users"),
    (IMAGES, "SELECT username_key FROM users"),
    (IMAGES, "UPDATE users SET password_hash = ''"),
    (IMAGES, "INSERT INTO users (username, username_key, password_hash) VALUES ('', '', '')"),
    (IMAGES, "DELETE FROM images"),
    (IMAGES, "DELETE FROM changes"),
    (IMAGES, "UPDATE changes SET outcome = 'applied'"),
    (IMAGES, "SELECT key FROM sign_in_failures"),
    (ACCOUNTS, "SELECT id FROM images"),
    (ACCOUNTS, "UPDATE images SET visibility = 'shared'"),
    (ACCOUNTS, "SELECT id FROM changes"),
    (ACCOUNTS, "DELETE FROM users"),
    (ACCOUNTS, "UPDATE users SET created_at = now()"),
    (PROCESSING, "SELECT id FROM users"),
    (PROCESSING, "UPDATE users SET password_hash = ''"),
    (PROCESSING, "SELECT key FROM sign_in_failures"),
    (PROCESSING, "INSERT INTO images (user_id) VALUES (1)"),
    (PROCESSING, "UPDATE changes SET user_id = 1"),
    (PROCESSING, "DELETE FROM changes"),
    (PROCESSING, "SELECT claim_id FROM idempotency_keys"),
    (OPERATIONS, "SELECT password_hash FROM users"),
    (OPERATIONS, "UPDATE images SET visibility = 'shared'"),
    (OPERATIONS, "DELETE FROM images"),
    (OPERATIONS, "UPDATE changes SET data = '{}'"),
    (OPERATIONS, "UPDATE users SET password_hash = ''"),
    (OPERATIONS, "UPDATE users SET locked_at = NULL"),
    (ACCOUNTS, "UPDATE users SET locked_at = NULL"),
    (SUPPORT, "SELECT password_hash FROM users"),
    (SUPPORT, "UPDATE users SET created_at = now()"),
    (SUPPORT, "DELETE FROM users"),
    (SUPPORT, "INSERT INTO users (username, username_key, password_hash) VALUES ('', '', '')"),
    (SUPPORT, "SELECT current_hash FROM refresh_families"),
    (SUPPORT, "DELETE FROM closed_accounts"),
    (SUPPORT, "SELECT title FROM images"),
    (SUPPORT, "UPDATE images SET visibility = 'shared'"),
    (SUPPORT, "SELECT data FROM changes"),
    (SUPPORT, "UPDATE changes SET outcome = 'applied'"),
    (SUPPORT, "SELECT network FROM sign_in_networks"),
    *((purpose, "CREATE TABLE mine (id integer)") for purpose in PURPOSES),
    *((purpose, "TRUNCATE images CASCADE") for purpose in PURPOSES),
    *((purpose, "UPDATE alembic_version SET version_num = ''") for purpose in PURPOSES),
    *((purpose, "SELECT rolpassword FROM pg_authid") for purpose in PURPOSES),
]


@pytest.mark.parametrize(("purpose", "statement"), REFUSED)
def test_a_purposes_role_may_not(
    connections: dict[str, Connection], purpose: str, statement: str
) -> None:
    connections[purpose].run("BEGIN")
    try:
        with pytest.raises(DatabaseError) as refused:
            connections[purpose].run(statement)
    finally:
        connections[purpose].run("ROLLBACK")
    assert refused.value.args[0]["C"] == "42501", refused.value
