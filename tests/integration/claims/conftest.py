"""Fixtures of the claims role's tests."""

from tests.support.http import claim_reward, claims, clock, tokens, upstreams, verifier

__all__ = ["claim_reward", "claims", "clock", "tokens", "upstreams", "verifier"]
