"""The projection: Redis, derived from the ledger and rebuildable at any time. The only package that imports redis."""

from .access import RedisTls
from .store import TIMEOUT_SECONDS, EncodedState, Projection, ProjectionRefused, ProjectionUnavailable

__all__ = ["TIMEOUT_SECONDS", "EncodedState", "Projection", "ProjectionRefused", "ProjectionUnavailable", "RedisTls"]
