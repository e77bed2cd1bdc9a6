"""The projection: Redis, derived from the ledger and rebuildable at any time. The only package that imports redis."""

from .store import Projection, ProjectionUnavailable

__all__ = ["Projection", "ProjectionUnavailable"]
