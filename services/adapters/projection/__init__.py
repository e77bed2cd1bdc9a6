"""The projection: Redis, derived from the ledger and rebuildable at any time. The only package that imports redis."""

from .store import EncodedState, Projection, ProjectionUnavailable

__all__ = ["EncodedState", "Projection", "ProjectionUnavailable"]
