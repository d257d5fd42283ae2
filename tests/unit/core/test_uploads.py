"""A file becomes an image: through the API, or straight to the storage."""

from __future__ import annotations

import pytest

from image_api.core.change_log import events
from image_api.core.library import uploads
from image_api.core.library.images import Caller
from image_api.core.library.uploads import UploadDetails
from image_api.errors import (
    FileTooLarge,
    ImageApiError,
    NotAnImage,
    QuotaExceeded,
    ServiceUnavailable,
    TooMuchUnderWay,
    Unauthenticated,
    UploadNotFound,
)
from image_api.imaging import Header
from tests.fakes import FakeImageRecords, FakeStorage, RecordingSink

ADA, BOB = 1, 2
PNG = Header(content_type="image/png", extension="png", width=640, height=480)


@pytest.fixture
def records() -> FakeImageRecords:
    return FakeImageRecords(users={ADA, BOB})


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture(autouse=True)
def any_bytes_are_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "identify", lambda _: PNG)


def upload(
    records: FakeImageRecords,
    sink: RecordingSink | None = None,
    storage: FakeStorage | None = None,
    *,
    user_id: int = ADA,
    title: str = "photo.png",
) -> uploads.UploadAccepted:
    return uploads.upload(
        records,
        storage or FakeStorage(),
        sink or RecordingSink(),
        Caller(user_id, "request-1"),
        b"bytes",
        UploadDetails(filename=None, title=title, visibility="shared"),
    )


def test_an_upload_stores_the_bytes_before_the_row_names_them(
    records: FakeImageRecords, sink: RecordingSink
) -> None:
    storage = FakeStorage()
    accepted = upload(records, sink, storage)
    (key,) = storage.objects
    assert storage.objects[key] == (b"bytes", "image/png")
    assert records.images[accepted.id]["file_path"] == key
    assert records.log == ["require_room", "accept_upload"]
    (event,) = sink.events
    assert (event.type, event.image_id, event.correlation_id) == (
        events.UPLOAD_REQUESTED,
        accepted.id,
        "request-1",
    )


def test_resolution_size_and_type_of_an_upload_are_measured(records: FakeImageRecords) -> None:
    image = records.images[upload(records, title="liar.gif").id]
    assert (image["resolution"], image["size"], image["content_type"]) == (
        "640x480",
        5,
        "image/png",
    )


def test_the_key_of_an_object_has_nothing_of_the_title(records: FakeImageRecords) -> None:
    keys = {
        records.images[upload(records, title="secret-plan.png").id]["file_path"] for _ in range(3)
    }
    assert len(keys) == 3
    assert all(key.startswith("storage/") and key.endswith("/original.png") for key in keys)
    assert not any("secret" in key for key in keys)


def test_nothing_is_stored_for_a_user_who_is_gone(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    with pytest.raises(Unauthenticated):
        upload(records, storage=storage, user_id=99)
    assert storage.operations == []


def test_no_file_is_left_when_the_user_goes_while_it_is_stored(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    storage.fault = lambda operation, _: records.users.clear() if operation == "put" else None
    with pytest.raises(Unauthenticated):
        upload(records, storage=storage)
    assert storage.objects == {}


def test_an_upload_over_the_limit_is_told_the_limit_and_the_other_way() -> None:
    uploads.check_upload_size(4_500_000)
    with pytest.raises(FileTooLarge, match=r"4\.6 MB.*at most 4\.5 MB.*direct_upload"):
        uploads.check_upload_size(4_600_000)


def test_an_image_just_over_the_limit_is_not_said_to_have_the_limit() -> None:
    with pytest.raises(FileTooLarge) as refused:
        uploads.check_upload_size(4_500_001)
    assert "has 4.5 MB" not in refused.value.detail


def offer_and_send(
    records: FakeImageRecords, storage: FakeStorage, data: bytes, user_id: int = ADA
) -> uploads.DirectUploadOffer:
    """A client that asks where to send a file, and sends it."""
    offer = uploads.offer_direct_upload(records, storage, user_id)
    storage.objects[offer.fields["key"]] = (data, "")
    return offer


def complete(
    records: FakeImageRecords,
    storage: FakeStorage,
    upload_id: str,
    *,
    user_id: int = ADA,
    filename: str | None = None,
) -> uploads.UploadAccepted:
    return uploads.complete_direct_upload(
        records,
        storage,
        RecordingSink(),
        Caller(user_id, "request-1"),
        upload_id,
        UploadDetails(filename=filename, title=None, visibility="private"),
    )


def test_a_direct_upload_becomes_an_image_like_any_other(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"a large file")
    accepted = complete(records, storage, offer.upload_id, filename="../large.png")
    image = records.images[accepted.id]
    assert (image["title"], image["visibility"], image["size"]) == ("large.png", "private", 12)
    assert storage.objects == {image["file_path"]: (b"a large file", "image/png")}


def test_the_place_of_a_direct_upload_is_the_users_own(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"of ada")
    with pytest.raises(UploadNotFound):
        complete(records, storage, offer.upload_id, user_id=BOB)
    assert complete(records, storage, offer.upload_id).id == 1


def test_a_direct_upload_without_a_file_is_not_found(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = uploads.offer_direct_upload(records, storage, ADA)
    with pytest.raises(UploadNotFound):
        complete(records, storage, offer.upload_id)


def test_a_direct_upload_that_is_completed_again_is_answered_again(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    first = complete(records, storage, offer.upload_id)
    assert complete(records, storage, offer.upload_id) == first
    assert len(records.images) == 1


@pytest.mark.parametrize("second", [PNG, Header("image/jpeg", "jpg", 5, 5)], ids=["png", "jpg"])
@pytest.mark.parametrize("is_remembered", [True, False], ids=["within a day", "after it"])
def test_a_file_sent_again_after_completion_changes_nothing_of_the_image(
    records: FakeImageRecords,
    monkeypatch: pytest.MonkeyPatch,
    second: Header,
    is_remembered: bool,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"first bytes")
    image_id = complete(records, storage, offer.upload_id).id
    first = records.images[image_id]["file_path"]
    # The form stays valid for a while: its holder can send another file.
    storage.objects[offer.fields["key"]] = (b"other bytes", "")
    monkeypatch.setattr(uploads, "identify", lambda _: second)
    if not is_remembered:
        records.claims.clear()
    other = complete(records, storage, offer.upload_id)
    if is_remembered:
        assert other.id == image_id
    else:
        # What is rendered of an image lies beside its original.
        folder = records.images[other.id]["file_path"].rpartition("/")[0]
        assert folder != first.rpartition("/")[0]
    assert storage.objects[first][0] == b"first bytes"


@pytest.mark.parametrize(
    "refusal",
    [QuotaExceeded("full"), TooMuchUnderWay("too many", 5), Unauthenticated("gone")],
    ids=lambda error: type(error).__name__,
)
def test_a_completion_that_is_refused_takes_nothing_away_from_the_image_of_the_first(
    records: FakeImageRecords, refusal: ImageApiError
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    image = records.images[complete(records, storage, offer.upload_id).id]
    records.claims.clear()
    storage.objects[offer.fields["key"]] = (b"bytes", "")
    records.refusal, records.refuses = refusal, "accept_upload"
    with pytest.raises(type(refusal)):
        complete(records, storage, offer.upload_id)
    assert [key for key in storage.objects if key.startswith("storage/")] == [image["file_path"]]


def test_a_completion_is_remembered_for_longer_than_its_file_may_stay(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    complete(records, storage, offer.upload_id)
    (claim,) = records.claims.values()
    # One day in the bucket, begun and ended at midnight, and the day in which it is removed.
    assert claim.kept_seconds > 3 * 24 * 60 * 60


def test_nothing_is_kept_of_a_direct_upload_that_is_not_an_image(
    records: FakeImageRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"text")

    def refuse(_: bytes) -> Header:
        raise NotAnImage("The file is not an image")

    monkeypatch.setattr(uploads, "identify", refuse)
    with pytest.raises(NotAnImage):
        complete(records, storage, offer.upload_id)
    assert storage.objects == {}
    assert records.images == {}


def test_an_accepted_direct_upload_does_not_fail_over_its_leftovers(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")

    def away(operation: str, _: str) -> None:
        if operation == "delete":
            raise ServiceUnavailable("The storage did not delete the files")

    storage.fault = away
    assert complete(records, storage, offer.upload_id).status == "processing"


def test_no_direct_upload_is_offered_to_a_user_who_is_gone(records: FakeImageRecords) -> None:
    with pytest.raises(Unauthenticated):
        uploads.offer_direct_upload(records, FakeStorage(), 99)


def test_a_direct_upload_leaves_no_image_file_when_the_user_goes_meanwhile(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    storage.fault = lambda operation, _: records.users.clear() if operation == "put" else None
    with pytest.raises(Unauthenticated):
        complete(records, storage, offer.upload_id)
    assert [key for key in storage.objects if key.startswith("storage/")] == []


REFUSALS = [QuotaExceeded("as many as it may"), TooMuchUnderWay("too many", 5)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_what_an_account_has_no_room_for_is_not_even_stored(
    records: FakeImageRecords, refusal: ImageApiError
) -> None:
    storage = FakeStorage()
    records.refusal = refusal
    with pytest.raises(type(refusal)):
        upload(records, storage=storage)
    assert storage.operations == []


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_what_others_left_no_room_for_meanwhile_is_removed_again(
    records: FakeImageRecords, refusal: ImageApiError
) -> None:
    storage = FakeStorage()
    records.refusal, records.refuses = refusal, "accept_upload"
    with pytest.raises(type(refusal)):
        upload(records, storage=storage)
    assert [operation for operation, _ in storage.operations] == ["put", "delete"]
    assert storage.objects == {}


def test_a_repetition_is_answered_although_there_is_no_room_any_more(
    records: FakeImageRecords,
) -> None:
    caller = Caller(ADA, "request-1", idempotency_key="k")
    details = UploadDetails(filename=None, title="photo.png", visibility="shared")

    def ask() -> uploads.UploadAccepted:
        return uploads.upload(records, FakeStorage(), RecordingSink(), caller, b"bytes", details)

    first = ask()
    records.refusal = REFUSALS[0]
    assert ask() == first


def test_a_refused_offer_hands_out_no_form(records: FakeImageRecords) -> None:
    records.refusal, records.refuses = REFUSALS[1], "offer_direct_upload"
    with pytest.raises(TooMuchUnderWay):
        uploads.offer_direct_upload(records, FakeStorage(), ADA)


def test_a_direct_upload_that_found_no_room_can_be_completed_later(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    upload_id = uploads.offer_direct_upload(records, storage, ADA).upload_id
    storage.objects[f"incoming/{ADA}/{upload_id}"] = (b"bytes", "")
    details = UploadDetails(filename=None, title=None, visibility="shared")

    def complete() -> uploads.UploadAccepted:
        caller = Caller(ADA, "request-1")
        return uploads.complete_direct_upload(
            records, storage, RecordingSink(), caller, upload_id, details
        )

    records.refusal, records.refuses = REFUSALS[0], "accept_upload"
    with pytest.raises(QuotaExceeded):
        complete()
    assert records.offered == [upload_id]
    records.refusal = None
    assert complete().id == 1
    assert records.offered == []
