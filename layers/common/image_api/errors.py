"""What can go wrong, in the words of the domain; `web.problems.ANSWERS` gives each its status.

ImageApiError
├── ConfigurationError            the deployment, not the client
├── InvalidRequest                a field breaks a rule
│   └── UsernameTaken
├── Unauthenticated, WrongCredentials, AccountLocked, RefreshTokenRefused, TooManyAttempts
├── ImageNotFound, UploadNotFound
├── PreconditionFailed            the image is at another version
├── KeyReused, RequestInProgress   of an Idempotency-Key
├── ImageNotReady, ImageFailed     there is nothing to show of it, yet or at all
├── TooManyRenditions, RenditionUnderWay
├── InvalidImage                  the uploaded bytes
│   └── EmptyFile, NotAnImage, DamagedImage, UnsupportedFormat, TooManyPixels
├── FileTooLarge
├── QuotaExceeded, TooMuchUnderWay   a limit of the account
├── ObjectMissing                 the storage lost a file
├── StillInUse                    what a deployment was to delete
└── ServiceUnavailable            a part does not answer: try again
    └── MessageRefused, StillDeleting
"""

from __future__ import annotations


class ImageApiError(Exception):
    """An expected failure; `detail` is a sentence a client can act on and holds no secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigurationError(ImageApiError):
    """The deployment is set up wrongly: nothing a client could change."""


class InvalidRequest(ImageApiError):
    """A field breaks a rule; `field` names it as the client wrote it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class UsernameTaken(InvalidRequest):
    def __init__(self) -> None:
        super().__init__("username", "This name is taken; choose another one")


class Unauthenticated(ImageApiError):
    """No token, or not a valid one."""


class WrongCredentials(ImageApiError):
    def __init__(self, detail: str = "The username or the password is wrong") -> None:
        super().__init__(detail)


class AccountLocked(ImageApiError):
    """Whoever knows the password is told so, and nobody else."""

    def __init__(self) -> None:
        super().__init__("This account is locked; ask whoever runs this service")


class RefreshTokenRefused(ImageApiError):
    """Unknown, expired, withdrawn or used before: one answer, so that nothing is revealed."""

    def __init__(self) -> None:
        super().__init__("The refresh token is expired or not valid: sign in again")


class TooManyAttempts(ImageApiError):
    def __init__(self, retry_after_seconds: int, of: str = "failed attempts") -> None:
        super().__init__(f"Too many {of}; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class ImageNotFound(ImageApiError):
    """Missing, deleted, or not for this user: one answer, so that nothing is revealed."""

    def __init__(self) -> None:
        super().__init__("There is no such image")


class ImageNotReady(ImageApiError):
    """It has not been processed for the first time."""

    retry_after_seconds = 1

    def __init__(self) -> None:
        super().__init__("The image is not processed yet; try again in a moment")


class ImageFailed(ImageApiError):
    def __init__(self, detail: str = "The image could not be processed") -> None:
        super().__init__(detail)


class RenditionUnderWay(ImageApiError):
    """It takes longer than a request may, and goes on."""

    retry_after_seconds = 2

    def __init__(self) -> None:
        super().__init__(
            f"The rendition is being made; try again in {self.retry_after_seconds} seconds"
        )


class TooManyRenditions(ImageApiError):
    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "Too many new renditions; those that exist are still there. "
            f"Try again in {retry_after_seconds} seconds"
        )
        self.retry_after_seconds = retry_after_seconds


class UploadNotFound(ImageApiError):
    """No file has arrived under this id, or it was used already, or it is somebody else's."""

    def __init__(self) -> None:
        super().__init__(
            "No uploaded file waits under this id: send the file first, and complete it once"
        )


class PreconditionFailed(ImageApiError):
    """The image was changed since whoever asks has read it."""

    def __init__(self) -> None:
        super().__init__("The image has changed; read it again and retry")


class KeyReused(ImageApiError):
    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key belongs to another request of yours: use a new key for each"
        )


class RequestInProgress(ImageApiError):
    """The first request with this key has not been answered yet."""

    retry_after_seconds = 1

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still running; try again")


class InvalidImage(ImageApiError):
    """The upload is not an image in an accepted format."""


class EmptyFile(InvalidImage):
    pass


class NotAnImage(InvalidImage):
    pass


class DamagedImage(InvalidImage):
    pass


class UnsupportedFormat(InvalidImage):
    """An image, of a format that is not accepted."""


class TooManyPixels(InvalidImage):
    pass


class FileTooLarge(ImageApiError):
    pass


class QuotaExceeded(ImageApiError):
    """The account stores as much as it may."""


class TooMuchUnderWay(ImageApiError):
    """The account has begun as much at a time as it may."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(f"{detail}; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class ObjectMissing(ImageApiError):
    """The storage holds nothing under this key."""

    def __init__(self) -> None:
        super().__init__("A stored file is missing")


class StillInUse(ImageApiError):
    """Of a deployment: what is to be deleted cannot go yet, and `detail` says what holds it."""


class ServiceUnavailable(ImageApiError):
    """The database, the broker or the storage did not answer; the same request may work later."""

    retry_after_seconds = 5


class MessageRefused(ServiceUnavailable):
    """The broker answers, and no queue takes the message."""


class StillDeleting(ServiceUnavailable):
    """There is more than may be deleted at a time; the next time goes on."""

    def __init__(self) -> None:
        super().__init__("The storage has not deleted every file yet")
