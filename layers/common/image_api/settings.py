"""Every setting the code reads, from the environment and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from image_api.core.change_log.changes import RENDERERS_PER_ACCOUNT
from image_api.errors import ConfigurationError

if TYPE_CHECKING:
    from image_api.aws.credentials import AwsCredentials
    from image_api.core.library.images import Visibility
    from image_api.secrets import SecretsManager

MIN_JWT_SECRET_BYTES = 32
# The issuers of RDS's certificates, in all regions.
RDS_ROOTS = Path(__file__).parent / "postgres" / "rds-roots.pem"

# What a function uses the database for decides as which role: see image_migrations.grants.
_DATABASE_SECRETS = {
    "accounts": "DATABASE_ACCOUNTS_SECRET_ARN",
    "images": "DATABASE_IMAGES_SECRET_ARN",
    "processing": "DATABASE_PROCESSING_SECRET_ARN",
    "operations": "DATABASE_OPERATIONS_SECRET_ARN",
    "support": "DATABASE_SUPPORT_SECRET_ARN",
}
# As which user of the broker: see image_api.rabbitmq.users.
_BROKER_SECRETS = {
    "publishing": "RABBITMQ_PUBLISHING_SECRET_ARN",
    "processing": "RABBITMQ_PROCESSING_SECRET_ARN",
    "operations": "RABBITMQ_OPERATIONS_SECRET_ARN",
}


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    url: str
    queue: str


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class BrokerUsers:
    """Who is to be made by whom: `management_url` is where the owner may, `by_purpose` whom."""

    management_url: str
    owner: BrokerLogin
    by_purpose: dict[str, BrokerLogin]
    queue: str


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """`endpoint_url` is the emulator's, or None on AWS; `public_url` is where clients reach it."""

    bucket: str
    region: str
    endpoint_url: str | None
    public_url: str | None


@dataclass(frozen=True, slots=True)
class CdnSettings:
    """CloudFront before the bucket; it knows the private key's other half as `key_id`."""

    url: str
    key_id: str
    private_key: str


@dataclass(frozen=True, slots=True)
class TokenSettings:
    secret: str
    previous_secret: str | None
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class RendererSettings:
    """The function that decodes pixels: where it is invoked, how often at once, and how often for
    one account.
    """

    function: str
    endpoint_url: str
    region: str
    at_once: int
    per_account: int


@dataclass(frozen=True, slots=True)
class WaiterLimits:
    """How many requests may wait for an image at a time, and how many of them one account's."""

    at_once: int
    per_account: int


@dataclass(frozen=True, slots=True)
class JanitorSettings:
    """With `dry_run` it counts and changes nothing, as where over `max_percent` disagree."""

    min_age_seconds: int
    max_percent: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class SignInThrottle:
    """How many failed sign-ins in `window_seconds` are allowed before the next has to wait."""

    failures_per_name: int
    failures_per_address: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class RegistrationThrottle:
    """How many attempts to register one address has in `window_seconds`."""

    per_address: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What one account may have at a time; 0: as much as it likes."""

    images: int = 0
    bytes: int = 0
    unfinished_changes: int = 0
    open_direct_uploads: int = 0


@dataclass(frozen=True, slots=True)
class RenditionLimits:
    """How many are kept of an image, and how many new ones may be begun in a minute; 0: any."""

    per_image: int = 0
    new_per_minute: int = 0


@cache
def database_url() -> str:
    """postgresql://user:password@host:port/database?sslmode=..., from a URL, a secret or parts:
    of the role for what this function does.
    """
    return _database_url_for(_optional("DATABASE_PURPOSE") or "images")


def database_urls() -> dict[str, str]:
    """That of each purpose, for migrations, which make the roles."""
    return {purpose: _database_url_for(purpose) for purpose in _DATABASE_SECRETS}


def _database_url_for(purpose: str) -> str:
    if purpose not in _DATABASE_SECRETS:
        raise ConfigurationError(
            f"DATABASE_PURPOSE is {purpose!r}, not one of {', '.join(_DATABASE_SECRETS)}"
        )
    if url := _optional("DATABASE_URL"):
        return url.replace("{purpose}", purpose)
    if secret := _secret(_DATABASE_SECRETS[purpose]):
        return _database_url_of(secret, _optional("DATABASE_HOST") or secret["host"])
    if user := _optional("POSTGRES_USER"):
        return _database_url(
            user,
            _required("POSTGRES_PASSWORD"),
            _optional("POSTGRES_HOST") or "localhost",
            _optional("POSTGRES_PORT") or "5432",
            _optional("POSTGRES_DB") or user,
            "prefer",
        )
    raise ConfigurationError("Set DATABASE_URL, or POSTGRES_USER and POSTGRES_PASSWORD")


def database_url_now() -> str:
    """The same, by the secret as it is now: its password may have been changed meanwhile."""
    database_url.cache_clear()
    return database_url()


@cache
def database_admin_url() -> str:
    """The owner of the schema, for migrations; the API's own role where there is no other."""
    if url := _optional("DATABASE_ADMIN_URL"):
        return url
    if secret := _secret("DATABASE_ADMIN_SECRET_ARN"):
        url = _database_url_of(secret, secret["host"])
        # Migrations go to the database itself, whose issuer no system knows.
        is_verified = secret.get("sslmode", "").startswith("verify-")
        return f"{url}&sslrootcert={quote(str(RDS_ROOTS))}" if is_verified else url
    return database_url()


@cache
def broker() -> BrokerSettings:
    queue = _optional("RABBITMQ_QUEUE") or "image_events"
    purpose = _optional("RABBITMQ_PURPOSE") or "publishing"
    if purpose not in _BROKER_SECRETS:
        raise ConfigurationError(
            f"RABBITMQ_PURPOSE is {purpose!r}, not one of {', '.join(_BROKER_SECRETS)}"
        )
    if url := _optional("RABBITMQ_URL"):
        return BrokerSettings(url.replace("{purpose}", purpose), queue)
    if login := _broker_login(_BROKER_SECRETS[purpose]):
        scheme, endpoint = _broker_endpoint()
        user, password = quote(login.user, safe=""), quote(login.password, safe="")
        return BrokerSettings(
            f"{scheme}://{user}:{password}@{endpoint.hostname}:{endpoint.port}/%2F", queue
        )
    host, port = _required("RABBITMQ_HOST"), _optional("RABBITMQ_PORT") or "5672"
    return BrokerSettings(f"amqp://guest:guest@{host}:{port}/%2F", queue)


def broker_users() -> BrokerUsers | None:
    """None where the broker has one user for everything, or somebody else makes them."""
    if url := _optional("RABBITMQ_URL"):
        return _broker_users_of(url)
    owner = _broker_login("RABBITMQ_ADMIN_SECRET_ARN")
    if owner is None:
        return None
    by_purpose = {
        purpose: login
        for purpose, variable in _BROKER_SECRETS.items()
        if (login := _broker_login(variable)) and login.user != owner.user
    }
    if not by_purpose:
        return None
    scheme, endpoint = _broker_endpoint()
    # Amazon MQ serves it beside AMQP, by the same name.
    management_url = (
        f"http://{endpoint.hostname}:15672" if scheme == "amqp" else f"https://{endpoint.hostname}"
    )
    return BrokerUsers(management_url, owner, by_purpose, broker().queue)


def _broker_users_of(url: str) -> BrokerUsers | None:
    """The management API's URL is its owner's, as http://user:password@host:15672."""
    management_url = _optional("RABBITMQ_MANAGEMENT_URL")
    if management_url is None or "{purpose}" not in url:
        return None
    address = urlsplit(management_url)
    return BrokerUsers(
        f"{address.scheme}://{address.netloc.rpartition('@')[2]}",
        _login_of(management_url),
        {purpose: _login_of(url.replace("{purpose}", purpose)) for purpose in _BROKER_SECRETS},
        broker().queue,
    )


def _login_of(url: str) -> BrokerLogin:
    address = urlsplit(url)
    if not address.username or not address.password:
        raise ConfigurationError("RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL need user:password@")
    return BrokerLogin(unquote(address.username), unquote(address.password))


def _broker_login(secret_variable: str) -> BrokerLogin | None:
    secret = _secret(secret_variable)
    return None if secret is None else BrokerLogin(secret["username"], secret["password"])


def _broker_endpoint() -> tuple[str, SplitResult]:
    """AWS writes the scheme as amqps, and in places as amqp+ssl."""
    endpoint = urlsplit(_required("RABBITMQ_ENDPOINT"))
    return "amqp" if endpoint.scheme == "amqp" else "amqps", endpoint


def broker_now() -> BrokerSettings:
    """The same, by the secret as it is now: its password may have been changed meanwhile."""
    broker.cache_clear()
    return broker()


@cache
def storage() -> StorageSettings:
    endpoint_url = _optional("AWS_ENDPOINT_URL")
    return StorageSettings(
        bucket=_required("IMAGES_BUCKET"),
        region=_region(),
        endpoint_url=endpoint_url,
        public_url=_optional("STORAGE_PUBLIC_URL") or endpoint_url,
    )


def cdn_url() -> str | None:
    """Where clients find images, if not in the storage itself."""
    return _optional("IMAGES_CDN_URL")


@cache
def cdn() -> CdnSettings | None:
    url = cdn_url()
    if url is None:
        return None
    private_key = _optional("IMAGES_CDN_PRIVATE_KEY")
    if private_key is None and (stored := _secret("IMAGES_CDN_SECRET_ARN")):
        private_key = stored.get("private_key")
    if not private_key:
        raise ConfigurationError("Set IMAGES_CDN_PRIVATE_KEY: an RSA key, in PEM")
    return CdnSettings(url, _required("IMAGES_CDN_KEY_ID"), private_key)


def ec2() -> tuple[str, str]:
    """The region, and where its EC2 is."""
    region = _region()
    return region, _optional("AWS_ENDPOINT_URL") or service_url("ec2", region)


@cache
def renderers() -> RendererSettings:
    region = _region()
    at_once, per_account = renderer_limits()
    return RendererSettings(
        function=_required("RENDERER_FUNCTION"),
        endpoint_url=_optional("AWS_ENDPOINT_URL_LAMBDA")
        or _optional("AWS_ENDPOINT_URL")
        or service_url("lambda", region),
        region=region,
        at_once=at_once,
        per_account=per_account,
    )


def renderer_limits() -> tuple[int, int]:
    """How many renderers run at once, and how many of them for one account."""
    return (
        _number("RENDERERS_AT_ONCE", 10, 1),
        _number("RENDERERS_PER_ACCOUNT", RENDERERS_PER_ACCOUNT, 1),
    )


@cache
def tokens() -> TokenSettings:
    secret = _optional("JWT_SECRET")
    previous = _optional("JWT_SECRET_PREVIOUS")
    if not secret and (stored := _secret("JWT_SECRET_ARN")):
        secret, previous = stored["current"], stored.get("previous") or None
    if not secret:
        raise ConfigurationError("Set JWT_SECRET: at least 32 random bytes that sign the tokens")
    for name, value in (("JWT_SECRET", secret), ("JWT_SECRET_PREVIOUS", previous)):
        if value and len(value.encode()) < MIN_JWT_SECRET_BYTES:
            raise ConfigurationError(
                f"{name} has {len(value.encode())} bytes; it needs at least "
                f"{MIN_JWT_SECRET_BYTES} random ones, or tokens could be forged"
            )
    return TokenSettings(secret, previous, _number("JWT_EXPIRATION_MINUTES", 30, 1) * 60)


@cache
def sign_in_throttle() -> SignInThrottle:
    return SignInThrottle(
        failures_per_name=_number("LOGIN_FAILURES_PER_NAME", 5, 1),
        failures_per_address=_number("LOGIN_FAILURES_PER_ADDRESS", 5, 1),
        window_seconds=15 * 60,
    )


@cache
def registration_throttle() -> RegistrationThrottle:
    return RegistrationThrottle(
        per_address=_number("REGISTRATIONS_PER_ADDRESS", 100, 1), window_seconds=15 * 60
    )


@cache
def account_limits() -> AccountLimits:
    return AccountLimits(
        images=_number("LIMIT_IMAGES", 100_000, 0),
        bytes=_number("LIMIT_BYTES", 50_000_000_000, 0),
        unfinished_changes=_number("LIMIT_UNFINISHED_CHANGES", 1000, 0),
        open_direct_uploads=_number("LIMIT_OPEN_DIRECT_UPLOADS", 20, 0),
    )


@cache
def rendition_limits() -> RenditionLimits:
    return RenditionLimits(
        per_image=_number("RENDITIONS_PER_IMAGE", 64, 0),
        new_per_minute=_number("LIMIT_NEW_RENDITIONS_PER_MINUTE", 120, 0),
    )


def shown_limits() -> dict[str, int]:
    """What an account may have or do, by the names that its owner sees; 0 for no limit."""
    renditions = rendition_limits()
    return {
        **asdict(account_limits()),
        "new_renditions_per_minute": renditions.new_per_minute,
        "renditions_per_image": renditions.per_image,
    }


@cache
def waiters() -> WaiterLimits:
    return WaiterLimits(
        at_once=_number("WAITERS_AT_ONCE", 10, 0),
        per_account=_number("WAITERS_PER_ACCOUNT", 3, 0),
    )


@cache
def janitor() -> JanitorSettings:
    return JanitorSettings(
        min_age_seconds=_number("JANITOR_MIN_AGE_SECONDS", 24 * 3600, 0),
        max_percent=_number("JANITOR_MAX_PERCENT", 10, 0),
        dry_run=(_optional("JANITOR_DRY_RUN") or "false").lower() in ("1", "true", "yes"),
    )


@cache
def changes_kept_days() -> int | None:
    """How long the log of changes goes back; None: to its beginning."""
    return _number("CHANGES_KEPT_DAYS", 90, 0) or None


@cache
def trash_days() -> int:
    """After how many days in the trash an image is deleted; 0: never."""
    return _number("TRASH_DAYS", 30, 0)


@cache
def default_visibility() -> Visibility:
    match _optional("DEFAULT_VISIBILITY") or "shared":
        case "shared":
            return "shared"
        case "private":
            return "private"
        case "public":
            return "public"
        case other:
            raise ConfigurationError(
                f"DEFAULT_VISIBILITY is {other!r}, not shared, private or public"
            )


@cache
def allowed_origin() -> str:
    """The browser origin that may call the API; `*` for any (no credentials are ever allowed)."""
    return _optional("CORS_ALLOWED_ORIGIN") or "*"


def service_url(service: str, region: str) -> str:
    """Where AWS itself serves it."""
    return f"https://{service}.{region}.{dns_suffix(region)}"


def dns_suffix(region: str) -> str:
    """China's regions have names of their own."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def credentials() -> AwsCredentials:
    """Of the function's role, as they are good now."""
    return credential_source()()


@cache
def credential_source() -> Callable[[], AwsCredentials]:
    """Lambda hands them over for as long as the environment lives; to one that is made of a
    snapshot it lends them, at an address.
    """
    from image_api.aws.credentials import AwsCredentials, LentCredentials

    if not _optional("AWS_ACCESS_KEY_ID") and (
        url := _optional("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    ):
        return LentCredentials(url, lambda: _required("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
    # Empty ones would sign all the same, and what they sign would be refused without a reason.
    given = AwsCredentials(
        _required("AWS_ACCESS_KEY_ID"),
        _required("AWS_SECRET_ACCESS_KEY"),
        _optional("AWS_SESSION_TOKEN"),
    )
    return lambda: given


def is_kept_as_a_snapshot() -> bool:
    """Whether Lambda copies this environment as it is once the function is loaded."""
    return _optional("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def forget_secrets() -> None:
    """They and the credentials are taken anew when somebody asks for them."""
    from image_api.aws.credentials import LentCredentials

    if _secrets_manager.cache_info().currsize:
        _secrets_manager().close()
    # Whoever signs holds on to the source.
    if isinstance(source := credential_source(), LentCredentials):
        source.forget()
    for taken in (database_url, database_admin_url, broker, cdn, tokens, _secrets_manager):
        taken.cache_clear()


def has_own_issuers() -> bool:
    """Whether somebody has told OpenSSL, by its own variables, whose certificates are believed."""
    from ssl import get_default_verify_paths

    paths = get_default_verify_paths()
    return any(map(_optional, (paths.openssl_cafile_env, paths.openssl_capath_env)))


def load_all() -> None:
    """Reads every setting once, so that a wrong one stops a deployment instead of a request."""
    database_urls()
    broker()
    storage()
    cdn()
    # The renderer itself is made after the migration, which runs this.
    renderer_limits()
    tokens()
    sign_in_throttle()
    registration_throttle()
    account_limits()
    rendition_limits()
    waiters()
    janitor()
    changes_kept_days()
    trash_days()
    default_visibility()


def _optional(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _required(name: str) -> str:
    value = _optional(name)
    if value is None:
        raise ConfigurationError(f"Set {name}")
    return value


def _number(name: str, default: int, least: int) -> int:
    text = _optional(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ConfigurationError(f"{name} is {text!r}, not a whole number of at least {least}")
    return int(text)


def _database_url(
    user: str, password: str, host: str, port: int | str, name: str, sslmode: str
) -> str:
    return (
        f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}"
        f"@{host}:{port}/{quote(name, safe='')}?sslmode={sslmode}"
    )


def _database_url_of(secret: dict[str, str], host: str) -> str:
    """The fields are those that RDS attaches to a secret; `sslmode` is ours."""
    return _database_url(
        secret["username"],
        secret["password"],
        host,
        secret.get("port", 5432),
        _optional("POSTGRES_DB") or secret.get("dbname", "images"),
        secret.get("sslmode", "require"),
    )


def _secret(arn_variable: str) -> dict[str, str] | None:
    """The JSON object kept in Secrets Manager under the ARN that a variable names."""
    arn = _optional(arn_variable)
    return None if arn is None else _secrets_manager().read(arn)


@cache
def _secrets_manager() -> SecretsManager:
    # Imported here: only a deployment on AWS keeps its secrets there.
    from image_api.secrets import SecretsManager

    region = _region()
    url = _optional("AWS_ENDPOINT_URL") or service_url("secretsmanager", region)
    return SecretsManager(url, region, credential_source(), has_own_issuers=has_own_issuers())


def _region() -> str:
    return _optional("AWS_REGION") or "us-east-1"
