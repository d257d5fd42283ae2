"""Settings come from the environment, are checked at start, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from image_api import settings
from image_api.errors import ConfigurationError
from image_api.rabbitmq import users
from image_api.settings import BrokerLogin
from image_migrations import grants
from tests import application
from tests.secrets_server import SecretsServer

SECRET = "x" * 32


@pytest.fixture
def only(environment: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets exactly the given variables."""

    def set_only(**variables: str) -> None:
        application.use_environment(environment, variables)

    return set_only


def test_database_url_is_taken_as_it_is(only: Callable[..., None]) -> None:
    only(DATABASE_URL=" postgresql://a:b@c/d ", POSTGRES_USER="other")
    assert settings.database_url() == "postgresql://a:b@c/d"


def test_a_url_may_name_a_role_for_each_purpose(only: Callable[..., None]) -> None:
    url = "postgresql://api_{purpose}:b@c/d"
    only(DATABASE_URL=url, DATABASE_PURPOSE="accounts")
    assert settings.database_url() == "postgresql://api_accounts:b@c/d"
    only(DATABASE_URL=url)
    assert settings.database_url() == "postgresql://api_images:b@c/d"
    assert settings.database_urls() == {
        purpose: f"postgresql://api_{purpose}:b@c/d" for purpose in grants.PURPOSES
    }


def test_a_purpose_that_is_not_known_is_refused_in_words(only: Callable[..., None]) -> None:
    only(DATABASE_URL="postgresql://a:b@c/d", DATABASE_PURPOSE="pleasure")
    with pytest.raises(ConfigurationError, match="'pleasure', not one of accounts, images"):
        settings.database_url()


def test_the_database_can_be_given_in_parts(only: Callable[..., None]) -> None:
    only(POSTGRES_USER="us er", POSTGRES_PASSWORD="p@ss/w:rd", POSTGRES_DB="im ages")
    assert settings.database_url() == (
        "postgresql://us%20er:p%40ss%2Fw%3Ard@localhost:5432/im%20ages?sslmode=prefer"
    )


def test_parts_of_the_database_without_a_password_are_refused(only: Callable[..., None]) -> None:
    only(POSTGRES_USER="ada")
    with pytest.raises(ConfigurationError, match="Set POSTGRES_PASSWORD"):
        settings.database_url()


def test_a_missing_database_is_refused_in_words(only: Callable[..., None]) -> None:
    only()
    with pytest.raises(ConfigurationError, match="Set DATABASE_URL, or POSTGRES_USER"):
        settings.database_url()


def test_an_empty_variable_counts_as_missing(only: Callable[..., None]) -> None:
    # The template sets every variable, most of them to "" where a secret holds the value.
    only(DATABASE_URL="", POSTGRES_USER="  ")
    with pytest.raises(ConfigurationError):
        settings.database_url()


@pytest.fixture
def secrets_manager() -> Iterator[SecretsServer]:
    server = SecretsServer()
    with server.serving():
        yield server


@pytest.fixture
def on_aws(only: Callable[..., None], secrets_manager: SecretsServer) -> Callable[..., None]:
    def set_on_aws(**variables: str) -> None:
        only(
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
            AWS_ENDPOINT_URL=secrets_manager.endpoint_url,
            **variables,
        )

    return set_on_aws


def test_the_database_comes_from_secrets_manager_on_aws(
    on_aws: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    arn = secrets_manager.put('{"username": "ada", "password": "p@ss", "host": "db", "port": 5433}')
    on_aws(DATABASE_IMAGES_SECRET_ARN=arn, DATABASE_HOST="proxy")
    assert settings.database_url() == "postgresql://ada:p%40ss@proxy:5433/images?sslmode=require"


def test_the_databases_secret_says_how_far_its_certificate_is_checked(
    on_aws: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    secret = '{"username": "ada", "password": "p", "host": "db", "sslmode": "%s"}'
    on_aws(
        DATABASE_IMAGES_SECRET_ARN=secrets_manager.put(secret % "verify-full"),
        DATABASE_ADMIN_SECRET_ARN=secrets_manager.put(secret % "disable"),
        DATABASE_HOST="proxy",
    )
    assert settings.database_url() == "postgresql://ada:p@proxy:5432/images?sslmode=verify-full"
    assert settings.database_admin_url() == "postgresql://ada:p@db:5432/images?sslmode=disable"


def test_each_purpose_has_a_secret_of_its_own(
    on_aws: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    secret = '{"username": "%s", "password": "p", "host": "db"}'
    arns = {
        f"DATABASE_{purpose.upper()}_SECRET_ARN": secrets_manager.put(secret % purpose)
        for purpose in grants.PURPOSES
    }
    on_aws(**arns, DATABASE_PURPOSE="processing")
    assert settings.database_url() == "postgresql://processing:p@db:5432/images?sslmode=require"
    assert settings.database_urls() == {
        purpose: f"postgresql://{purpose}:p@db:5432/images?sslmode=require"
        for purpose in grants.PURPOSES
    }


def test_broker_and_tokens_come_from_secrets_manager_on_aws(
    on_aws: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    on_aws(
        RABBITMQ_PUBLISHING_SECRET_ARN=secrets_manager.put(
            '{"username": "ada", "password": "p/ss"}'
        ),
        RABBITMQ_ENDPOINT="amqps://b-1.mq.us-east-1.on.aws:5671",
        JWT_SECRET_ARN=secrets_manager.put(f'{{"current": "{SECRET}", "previous": "{"y" * 32}"}}'),
    )
    assert settings.broker().url == "amqps://ada:p%2Fss@b-1.mq.us-east-1.on.aws:5671/%2F"
    assert settings.tokens() == settings.TokenSettings(SECRET, "y" * 32, 1800)


def logins(secrets_manager: SecretsServer, **users: str) -> dict[str, str]:
    return {
        f"RABBITMQ_{name.upper()}_SECRET_ARN": secrets_manager.put(
            f'{{"username": "{user}", "password": "of {user}"}}'
        )
        for name, user in users.items()
    }


@pytest.mark.parametrize("purpose", ["publishing", "processing", "operations"])
def test_each_purpose_has_a_user_of_the_broker(
    on_aws: Callable[..., None], secrets_manager: SecretsServer, purpose: str
) -> None:
    on_aws(
        RABBITMQ_PURPOSE=purpose,
        RABBITMQ_ENDPOINT="amqps://b:5671",
        **logins(secrets_manager, **{purpose: "ada"}),
    )
    assert settings.broker().url == "amqps://ada:of%20ada@b:5671/%2F"


def test_the_users_that_a_broker_url_names_are_made_where_its_owner_is_known(
    only: Callable[..., None],
) -> None:
    url = "amqp://api_{purpose}:p%2F1@b/%2F"
    only(RABBITMQ_URL=url, RABBITMQ_MANAGEMENT_URL="http://ada:l%40ve@b:15672")
    made = settings.broker_users()
    assert made is not None
    assert made.management_url == "http://b:15672"
    assert made.owner == BrokerLogin("ada", "l@ve")
    assert made.by_purpose == {
        purpose: BrokerLogin(f"api_{purpose}", "p/1") for purpose in users.by_purpose()
    }
    assert made.queue == "image_events"
    only(RABBITMQ_URL=url)
    assert settings.broker_users() is None
    only(RABBITMQ_URL="amqp://u:p@b/%2F", RABBITMQ_MANAGEMENT_URL="http://ada:p@b:15672")
    assert settings.broker_users() is None
    only(RABBITMQ_URL=url, RABBITMQ_MANAGEMENT_URL="http://b:15672")
    with pytest.raises(ConfigurationError, match="need user:password@"):
        settings.broker_users()


def test_a_broker_url_may_name_a_user_for_each_purpose(only: Callable[..., None]) -> None:
    only(RABBITMQ_URL="amqp://{purpose}:p@b/%2F", RABBITMQ_PURPOSE="processing")
    assert settings.broker().url == "amqp://processing:p@b/%2F"
    only(RABBITMQ_URL="amqp://{purpose}:p@b/%2F", RABBITMQ_PURPOSE="drinking")
    with pytest.raises(ConfigurationError, match="RABBITMQ_PURPOSE is 'drinking', not one of"):
        settings.broker()


@pytest.mark.parametrize(
    ("endpoint", "management_url"),
    [("amqps://b:5671", "https://b"), ("amqp://b:5672", "http://b:15672")],
)
def test_the_owner_of_a_broker_makes_the_other_users_by_its_management_api(
    on_aws: Callable[..., None],
    secrets_manager: SecretsServer,
    endpoint: str,
    management_url: str,
) -> None:
    named = logins(secrets_manager, admin="o", publishing="a", processing="b", operations="c")
    on_aws(RABBITMQ_ENDPOINT=endpoint, **named)
    assert settings.broker_users() == settings.BrokerUsers(
        management_url,
        settings.BrokerLogin("o", "of o"),
        {
            purpose: settings.BrokerLogin(user, f"of {user}")
            for purpose, user in (("publishing", "a"), ("processing", "b"), ("operations", "c"))
        },
        "image_events",
    )


def test_where_one_user_is_for_everything_none_is_made(
    on_aws: Callable[..., None], only: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    same = logins(secrets_manager, admin="o", publishing="o", processing="o", operations="o")
    on_aws(RABBITMQ_ENDPOINT="amqps://b:5671", **same)
    assert settings.broker_users() is None
    only(RABBITMQ_URL="amqp://u:p@b/%2F")
    assert settings.broker_users() is None
    only()
    assert settings.broker_users() is None


def test_a_password_that_was_changed_is_read_anew(
    on_aws: Callable[..., None], secrets_manager: SecretsServer
) -> None:
    database, broker = (
        secrets_manager.put('{"username": "ada", "password": "old", "host": "db"}')
        for _ in range(2)
    )
    on_aws(
        DATABASE_IMAGES_SECRET_ARN=database,
        RABBITMQ_PUBLISHING_SECRET_ARN=broker,
        RABBITMQ_ENDPOINT="amqps://b:5671",
    )
    assert ":old@" in settings.database_url()
    assert ":old@" in settings.broker().url
    for arn in (database, broker):
        secrets_manager.texts[arn] = '{"username": "ada", "password": "new", "host": "db"}'

    # Once for all that an execution environment does, until somebody asks for it anew.
    assert ":old@" in settings.database_url()
    assert ":new@" in settings.database_url_now()
    assert ":new@" in settings.broker_now().url
    assert ":new@" in settings.database_url()


@pytest.mark.parametrize(
    ("written", "scheme"), [("amqps", "amqps"), ("amqp+ssl", "amqps"), ("amqp", "amqp")]
)
def test_an_endpoint_is_reached_over_tls_however_aws_writes_its_scheme(
    on_aws: Callable[..., None], secrets_manager: SecretsServer, written: str, scheme: str
) -> None:
    on_aws(
        RABBITMQ_PUBLISHING_SECRET_ARN=secrets_manager.put('{"username": "ada", "password": "p"}'),
        RABBITMQ_ENDPOINT=f"{written}://b:5671",
    )
    assert settings.broker().url == f"{scheme}://ada:p@b:5671/%2F"


@pytest.mark.parametrize("text", ["no JSON: hunter2", '["hunter2"]', '"hunter2"'])
def test_a_secret_that_is_no_object_is_refused_without_being_quoted(
    on_aws: Callable[..., None], secrets_manager: SecretsServer, text: str
) -> None:
    arn = secrets_manager.put(text)
    on_aws(JWT_SECRET_ARN=arn)
    with pytest.raises(ConfigurationError) as refused:
        settings.tokens()
    assert refused.value.detail == f"{arn} holds no JSON object"


def test_a_secret_that_is_not_there_is_named_with_the_reason(on_aws: Callable[..., None]) -> None:
    on_aws(JWT_SECRET_ARN="no-such-secret")
    with pytest.raises(ConfigurationError, match="no-such-secret cannot be read: ResourceNotFound"):
        settings.tokens()


def test_a_secrets_manager_that_is_away_is_named(only: Callable[..., None]) -> None:
    only(
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        JWT_SECRET_ARN="jwt",
    )
    with pytest.raises(ConfigurationError, match=r"does not answer at http://127\.0\.0\.1:1:"):
        settings.tokens()


def test_without_credentials_nothing_is_signed(only: Callable[..., None]) -> None:
    only(JWT_SECRET_ARN="jwt")
    with pytest.raises(ConfigurationError, match="Set AWS_ACCESS_KEY_ID"):
        settings.tokens()


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://lambda.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://lambda.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_a_service_of_aws_is_named_after_its_region(region: str, url: str) -> None:
    assert settings.service_url("lambda", region) == url


def test_the_brokers_url_wins_over_host_and_port(only: Callable[..., None]) -> None:
    only(RABBITMQ_URL="amqp://u:p@h:1/%2F", RABBITMQ_HOST="other", RABBITMQ_PORT="2")
    assert settings.broker() == settings.BrokerSettings("amqp://u:p@h:1/%2F", "image_events")


def test_the_broker_can_be_given_by_host_and_port(only: Callable[..., None]) -> None:
    only(RABBITMQ_HOST="rabbit", RABBITMQ_QUEUE="other_events")
    assert settings.broker() == settings.BrokerSettings(
        "amqp://guest:guest@rabbit:5672/%2F", "other_events"
    )


def test_a_missing_broker_is_refused_in_words(only: Callable[..., None]) -> None:
    only()
    with pytest.raises(ConfigurationError, match="Set RABBITMQ_HOST"):
        settings.broker()


def test_storage_on_aws_has_no_endpoint(only: Callable[..., None]) -> None:
    only(IMAGES_BUCKET="images", AWS_REGION="eu-west-1")
    assert settings.storage() == settings.StorageSettings("images", "eu-west-1", None, None)


def test_clients_may_reach_the_emulator_under_another_name(only: Callable[..., None]) -> None:
    only(
        IMAGES_BUCKET="images",
        AWS_ENDPOINT_URL="http://s3:4566",
        STORAGE_PUBLIC_URL="http://localhost:4566",
    )
    assert settings.storage() == settings.StorageSettings(
        "images", "us-east-1", "http://s3:4566", "http://localhost:4566"
    )


def test_a_missing_bucket_is_refused_in_words(only: Callable[..., None]) -> None:
    only()
    with pytest.raises(ConfigurationError, match="Set IMAGES_BUCKET"):
        settings.storage()


def test_tokens_live_30_minutes_unless_said_otherwise(only: Callable[..., None]) -> None:
    only(JWT_SECRET=SECRET)
    assert settings.tokens().ttl_seconds == 30 * 60
    only(JWT_SECRET=SECRET, JWT_EXPIRATION_MINUTES="5")
    assert settings.tokens().ttl_seconds == 5 * 60


@pytest.mark.parametrize("minutes", ["0", "-1", "1.5", "soon", "1e3"])
def test_a_lifetime_that_is_no_number_of_minutes_is_refused(
    only: Callable[..., None], minutes: str
) -> None:
    only(JWT_SECRET=SECRET, JWT_EXPIRATION_MINUTES=minutes)
    with pytest.raises(ConfigurationError, match="JWT_EXPIRATION_MINUTES is"):
        settings.tokens()


@pytest.mark.parametrize("name", ["JWT_SECRET", "JWT_SECRET_PREVIOUS"])
def test_a_short_secret_is_refused_and_not_quoted(only: Callable[..., None], name: str) -> None:
    only(**{"JWT_SECRET": SECRET, name: "short-secret"})
    with pytest.raises(ConfigurationError, match=f"{name} has 12 bytes") as refused:
        settings.tokens()
    assert "short-secret" not in refused.value.detail


def test_a_secrets_length_is_counted_in_bytes(only: Callable[..., None]) -> None:
    only(JWT_SECRET="ä" * 16)
    assert settings.tokens().secret == "ä" * 16


def test_a_missing_secret_is_refused_in_words(only: Callable[..., None]) -> None:
    only()
    with pytest.raises(ConfigurationError, match="Set JWT_SECRET: at least 32 random bytes"):
        settings.tokens()


def test_images_are_shared_unless_the_deployment_says_otherwise(only: Callable[..., None]) -> None:
    only()
    assert settings.default_visibility() == "shared"
    only(DEFAULT_VISIBILITY="private")
    assert settings.default_visibility() == "private"
    only(DEFAULT_VISIBILITY="hidden")
    with pytest.raises(ConfigurationError, match="DEFAULT_VISIBILITY is 'hidden'"):
        settings.default_visibility()


def test_the_throttle_can_be_set(only: Callable[..., None]) -> None:
    only(LOGIN_FAILURES_PER_NAME="3", LOGIN_FAILURES_PER_ADDRESS="50")
    assert settings.sign_in_throttle() == settings.SignInThrottle(3, 50, 900)


def test_the_throttle_of_registrations_can_be_set(only: Callable[..., None]) -> None:
    only()
    assert settings.registration_throttle() == settings.RegistrationThrottle(100, 900)
    only(REGISTRATIONS_PER_ADDRESS="7")
    assert settings.registration_throttle() == settings.RegistrationThrottle(7, 900)


@pytest.mark.parametrize("name", ["DATABASE_URL", "RABBITMQ_URL", "IMAGES_BUCKET", "JWT_SECRET"])
def test_a_deployment_is_checked_for_every_setting_it_needs(
    only: Callable[..., None], name: str
) -> None:
    # The renderer is made after the migration, which checks them.
    only(**{**application.ENVIRONMENT, "RENDERER_FUNCTION": ""})
    settings.load_all()
    only(**{key: value for key, value in application.ENVIRONMENT.items() if key != name})
    with pytest.raises(ConfigurationError):
        settings.load_all()


def test_a_deployment_is_checked_for_how_many_renderers_there_may_be(
    only: Callable[..., None],
) -> None:
    only(**application.ENVIRONMENT, RENDERERS_AT_ONCE="many")
    with pytest.raises(ConfigurationError):
        settings.load_all()


def test_the_limits_of_an_account_are_settings(only: Callable[..., None]) -> None:
    only()
    assert settings.account_limits() == settings.AccountLimits(100_000, 50_000_000_000, 1000, 20)
    only(LIMIT_IMAGES="1", LIMIT_BYTES="2", LIMIT_UNFINISHED_CHANGES="0")
    assert settings.account_limits() == settings.AccountLimits(1, 2, 0, 20)


def test_the_log_of_changes_goes_back_90_days_or_as_many_as_is_said_or_to_its_beginning(
    only: Callable[..., None],
) -> None:
    days = {}
    for said in ("", "7", "0"):
        only(CHANGES_KEPT_DAYS=said)
        days[said] = settings.changes_kept_days()
    assert days == {"": 90, "7": 7, "0": None}
