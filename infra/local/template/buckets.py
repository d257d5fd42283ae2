"""The buckets that a template declares."""

from collections.abc import Iterator

from infra.local.template.model import Bucket
from infra.local.template.resources import Resources

# CloudFormation's names of a CORS rule's parts, and the S3 API's.
_RULE_NAMES = {
    "AllowedHeaders": "AllowedHeaders",
    "AllowedMethods": "AllowedMethods",
    "AllowedOrigins": "AllowedOrigins",
    "ExposedHeaders": "ExposeHeaders",
    "MaxAge": "MaxAgeSeconds",
}


def read_buckets(resources: Resources) -> Iterator[Bucket]:
    """Raises TemplateError."""
    for logical_id, properties in resources.of_type("AWS::S3::Bucket"):
        cors = resources.optional(logical_id, properties, "CorsConfiguration", {})
        rules = tuple(
            {_RULE_NAMES[name]: value for name, value in rule.items() if name in _RULE_NAMES}
            for rule in cors.get("CorsRules", ())
        )
        yield Bucket(logical_id, resources.attribute(logical_id, "Ref"), rules)
