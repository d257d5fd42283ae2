"""Makes each adapter once per execution environment; they connect at first use.

A function asks, while it is loaded, for just what its own path needs: what it does not ask for
is never imported, and a wrong setting stops it at start instead of at the first request. Where
Lambda keeps what has been loaded as a snapshot, each copy takes secrets and connections anew.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from image_api import settings
from image_api.snapshots import after_restore

if TYPE_CHECKING:
    from collections.abc import Callable

    from image_api.aws.cdn import CdnUrlSigner
    from image_api.aws.credentials import AwsCredentials
    from image_api.aws.network_interfaces import Ec2Networks
    from image_api.aws.objects import StoredObjects
    from image_api.aws.s3 import S3Storage
    from image_api.aws.signing import UrlSigner
    from image_api.aws.transfers import SignedTransfers
    from image_api.core.accounts.sessions import Sessions
    from image_api.core.accounts.tokens import TokenSigner
    from image_api.core.change_log.publishing import PublishingSink
    from image_api.core.consumer.settling import Consumer
    from image_api.core.renditions.links import ImageLinks, LinkSigner
    from image_api.core.renditions.on_demand import RenditionsOnDemand
    from image_api.core.renditions.render_requests import Renderings
    from image_api.postgres.backfill import PostgresUnmeasuredImages
    from image_api.postgres.changes import PostgresRelayRecords
    from image_api.postgres.closed_accounts import PostgresClosedAccounts
    from image_api.postgres.database import Database
    from image_api.postgres.dead_letters import PostgresLetterRecords
    from image_api.postgres.history import PostgresHistory
    from image_api.postgres.images import PostgresImageRecords
    from image_api.postgres.janitor import PostgresJanitorRecords
    from image_api.postgres.operator_commands import PostgresOperatorRecords
    from image_api.postgres.renditions import PostgresRenditionRecords
    from image_api.postgres.rerendering import PostgresRerenderRecords
    from image_api.postgres.revocation import PostgresImageMoves
    from image_api.postgres.sessions import PostgresSessionRecords
    from image_api.postgres.tags import PostgresTagRecords
    from image_api.postgres.token_checks import BoundTokens
    from image_api.postgres.users import PostgresUserRecords
    from image_api.postgres.waiting_requests import PostgresWaitingPlaces
    from image_api.rabbitmq.broker import Broker


@cache
def database() -> Database:
    from image_api.postgres.database import Database

    made = Database(settings.database_url(), settings.database_url_now)
    after_restore(made.renew)
    return made


@cache
def broker() -> Broker:
    from image_api.rabbitmq.broker import Broker

    made = Broker(settings.broker(), settings.broker_now)
    after_restore(made.renew)
    return made


def make_broker_users() -> None:
    """Where the settings name its owner, who may. Raises ServiceUnavailable."""
    users = settings.broker_users()
    if users is not None:
        from image_api.rabbitmq.users import ManagementApi

        management = ManagementApi(users.management_url, users.owner)
        management.make_users(users.by_purpose.items(), users.queue)


@cache
def storage() -> S3Storage:
    from image_api.aws.s3 import S3Storage

    return S3Storage(settings.storage())


@cache
def tokens() -> BoundTokens:
    """For who is to be signed in: what their token says holds for the statements that follow."""
    from image_api.postgres.token_checks import BoundTokens

    return BoundTokens(token_signer(), database())


@cache
def sessions() -> Sessions:
    from image_api.core.accounts.sessions import Sessions

    return Sessions(session_records(), token_signer())


@cache
def session_records() -> PostgresSessionRecords:
    from image_api.postgres.sessions import PostgresSessionRecords

    return PostgresSessionRecords(database())


@cache
def token_signer() -> TokenSigner:
    from image_api.core.accounts.tokens import TokenSigner

    made = TokenSigner(*_token_secrets(), settings.tokens().ttl_seconds)
    after_restore(lambda: made.renew(*_token_secrets()))
    return made


def _token_secrets() -> tuple[str, str | None]:
    return settings.tokens().secret, settings.tokens().previous_secret


@cache
def user_records() -> PostgresUserRecords:
    from image_api.postgres.users import PostgresUserRecords

    return PostgresUserRecords(
        database(), settings.sign_in_throttle(), settings.registration_throttle()
    )


@cache
def closed_accounts() -> PostgresClosedAccounts:
    from image_api.postgres.closed_accounts import PostgresClosedAccounts

    return PostgresClosedAccounts(database())


@cache
def image_records() -> PostgresImageRecords:
    from image_api.postgres.images import PostgresImageRecords

    return PostgresImageRecords(database(), settings.account_limits())


@cache
def waiting_places() -> PostgresWaitingPlaces:
    from image_api.postgres.waiting_requests import PostgresWaitingPlaces

    return PostgresWaitingPlaces(database(), settings.waiters())


@cache
def janitor_records() -> PostgresJanitorRecords:
    from image_api.postgres.janitor import PostgresJanitorRecords

    return PostgresJanitorRecords(database())


@cache
def rerender_records() -> PostgresRerenderRecords:
    from image_api.postgres.rerendering import PostgresRerenderRecords

    return PostgresRerenderRecords(database())


@cache
def image_moves() -> PostgresImageMoves:
    from image_api.postgres.revocation import PostgresImageMoves

    return PostgresImageMoves(database())


@cache
def unmeasured_images() -> PostgresUnmeasuredImages:
    from image_api.postgres.backfill import PostgresUnmeasuredImages

    return PostgresUnmeasuredImages(database())


@cache
def tag_records() -> PostgresTagRecords:
    from image_api.postgres.tags import PostgresTagRecords

    return PostgresTagRecords(database())


@cache
def history() -> PostgresHistory:
    from image_api.postgres.history import PostgresHistory

    return PostgresHistory(database())


@cache
def operator_records() -> PostgresOperatorRecords:
    from image_api.postgres.operator_commands import PostgresOperatorRecords

    return PostgresOperatorRecords(database())


@cache
def event_sink() -> PublishingSink:
    return _sink(database())


def _sink(database: Database) -> PublishingSink:
    from image_api.core.change_log.publishing import PublishingSink
    from image_api.postgres.changes import PostgresPublications

    return PublishingSink(PostgresPublications(database), broker())


@cache
def relay_records() -> PostgresRelayRecords:
    from image_api.postgres.changes import PostgresRelayRecords

    return PostgresRelayRecords(database())


@cache
def letter_records() -> PostgresLetterRecords:
    from image_api.postgres.dead_letters import PostgresLetterRecords

    return PostgresLetterRecords(database())


def _credentials() -> Callable[[], AwsCredentials]:
    """As they are good when they are used; where there are none, that is said at once."""
    settings.credentials()
    return settings.credential_source()


@cache
def url_signer() -> UrlSigner | CdnUrlSigner:
    if cdn := settings.cdn():
        from image_api.aws.cdn import CdnUrlSigner

        made = CdnUrlSigner(cdn)
        after_restore(lambda: made.renew(settings.cdn() or cdn))
        return made
    from image_api.aws.signing import UrlSigner

    target = settings.storage()
    return UrlSigner(target.bucket, target.region, target.public_url, _credentials())


def storage_origins() -> tuple[str, ...]:
    """Where browsers find the storage, or what stands before it: first that from where pictures
    come. Of AWS's bucket also the address without its region, which forms are sent to.
    """
    from urllib.parse import urlsplit

    from image_api.aws.signing import bucket_url

    target = settings.storage()
    addresses = [bucket_url(target.bucket, target.region, target.public_url)]
    if target.public_url is None:
        addresses.append(f"https://{target.bucket}.s3.amazonaws.com")
    if cdn_url := settings.cdn_url():
        addresses.insert(0, cdn_url)
    parts = map(urlsplit, addresses)
    return tuple(f"{address.scheme}://{address.netloc}" for address in parts)


@cache
def link_signer() -> LinkSigner:
    from image_api.core.renditions.links import LinkSigner

    made = LinkSigner(*_token_secrets())
    after_restore(lambda: made.renew(*_token_secrets()))
    return made


@cache
def image_links() -> Callable[[str], ImageLinks]:
    """By the address at which the client that asks knows this API."""
    from image_api.core.renditions.links import ImageLinks

    return partial(ImageLinks, url_signer(), link_signer())


@cache
def rendition_records() -> PostgresRenditionRecords:
    from image_api.postgres.renditions import PostgresRenditionRecords

    return PostgresRenditionRecords(database(), settings.rendition_limits())


@cache
def renditions_on_demand() -> RenditionsOnDemand:
    from image_api.core.renditions.on_demand import RenditionsOnDemand

    return RenditionsOnDemand(rendition_records(), url_signer(), renderings(), stored_objects())


@cache
def original_signer() -> UrlSigner:
    from image_api.aws.signing import UrlSigner
    from image_api.core.renditions.downloads import ORIGINAL_TTL_SECONDS

    target = settings.storage()
    return UrlSigner(
        target.bucket,
        target.region,
        target.public_url,
        _credentials(),
        ttl_seconds=ORIGINAL_TTL_SECONDS,
    )


@cache
def networks() -> Ec2Networks:
    from image_api.aws.network_interfaces import Ec2Networks
    from image_api.aws.requests import SignedRequests

    region, endpoint_url = settings.ec2()
    requests = SignedRequests("ec2", region, _credentials(), connections=1)
    return Ec2Networks(requests, endpoint_url)


@cache
def transfers() -> SignedTransfers:
    from image_api.aws.transfers import SignedTransfers

    return SignedTransfers()


@cache
def upload_store() -> StoredObjects:
    """For whoever stores one file at a time."""
    return _objects(connections=1)


@cache
def stored_objects() -> StoredObjects:
    from image_api.core.renditions.render_requests import RESULTS_OF_A_PICTURE

    return _objects(connections=RESULTS_OF_A_PICTURE * settings.renderers().at_once)


def _objects(*, connections: int) -> StoredObjects:
    from image_api.aws.objects import StoredObjects
    from image_api.aws.requests import SignedRequests

    target = settings.storage()
    requests = SignedRequests("s3", target.region, _credentials(), connections=connections)
    return StoredObjects(requests, target)


@cache
def renderings() -> Renderings:
    from image_api.aws.lambda_functions import LambdaRenderer
    from image_api.aws.requests import SignedRequests
    from image_api.aws.signing import UrlSigner
    from image_api.core.renditions.render_requests import RENDERER_TIMEOUT_SECONDS, Renderings

    target, renderer = settings.storage(), settings.renderers()
    requests = SignedRequests(
        "lambda", renderer.region, _credentials(), connections=renderer.at_once
    )
    # Whose URLs are good for three quarters of that at least: also one that has to start first.
    signer = UrlSigner(
        target.bucket,
        target.region,
        target.endpoint_url,
        _credentials(),
        ttl_seconds=2 * RENDERER_TIMEOUT_SECONDS,
    )
    return Renderings(
        LambdaRenderer(requests, renderer.function, renderer.endpoint_url),
        signer,
        stored_objects(),
        at_once=renderer.at_once,
    )


@cache
def consumer() -> Consumer:
    import threading

    from image_api.core.consumer.processing import Processor
    from image_api.core.consumer.settling import Consumer
    from image_api.postgres.database import Database
    from image_api.postgres.processing import PostgresChangeLog

    threads, renderers = threading.local(), settings.renderers()
    url = settings.database_url()

    def log() -> PostgresChangeLog:
        # Each thread of the consumer talks to the database over a connection of its own.
        if not hasattr(threads, "log"):
            own = Database(url, settings.database_url_now)
            threads.log = PostgresChangeLog(
                own, _sink(own), renderers_per_account=renderers.per_account
            )
        made: PostgresChangeLog = threads.log
        return made

    return Consumer(
        log,
        Processor(log, renderings(), stored_objects()),
        broker(),
        settings.broker().queue,
        workers=renderers.at_once,
    )
