"""Client of the Image Management API: `Client` for scripts, `AsyncClient` for event loops."""

__version__ = "1.0.0"

from image_api_client.async_client import AsyncClient
from image_api_client.client import Client
from image_api_client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotSignedIn,
    PreconditionFailed,
    ProcessingFailed,
    ServerError,
    StillProcessing,
    TooManyRequests,
    Unreachable,
)
from image_api_client.forms import Source
from image_api_client.images import ListQuery, UploadDetails
from image_api_client.models import (
    Account,
    BatchResult,
    Change,
    Fit,
    Image,
    ImageChanges,
    Page,
    RenditionFormat,
    Sort,
    Status,
    TagCount,
    Visibility,
)
from image_api_client.retries import Patience
from image_api_client.sessions import FileTokenStore, MemoryTokenStore, Tokens, TokenStore

__all__ = [
    "Account",
    "ApiError",
    "AsyncClient",
    "BatchResult",
    "Change",
    "Client",
    "ClientError",
    "Conflict",
    "FileTokenStore",
    "Fit",
    "Forbidden",
    "Image",
    "ImageChanges",
    "Invalid",
    "ListQuery",
    "MemoryTokenStore",
    "NotFound",
    "NotSignedIn",
    "Page",
    "Patience",
    "PreconditionFailed",
    "ProcessingFailed",
    "RenditionFormat",
    "ServerError",
    "Sort",
    "Source",
    "Status",
    "StillProcessing",
    "TagCount",
    "TokenStore",
    "Tokens",
    "TooManyRequests",
    "Unreachable",
    "UploadDetails",
    "Visibility",
]
