"""Every pair, of both kinds of API."""

from tests.conformance.authorizer_pairs import AUTHORIZER_PAIRS
from tests.conformance.http_pairs import HTTP_PAIRS
from tests.conformance.pairs import PAIRS

ALL_PAIRS = (*PAIRS, *AUTHORIZER_PAIRS, *HTTP_PAIRS)
