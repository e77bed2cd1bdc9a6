"""Roles that app clients call, with development keys and without rate limits, and the headers of their users."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from services.adapters.tokens import TokenKind, TokenSettings, mint
from services.stack.roles import Role

from .world import Side, World, processes


def development_tokens(world: World) -> TokenSettings:
    """The key that the world's roles believe."""
    return TokenSettings(environment="development", development_key_file=world.directory / "development-key.pem")


def user_headers(tokens: TokenSettings, user: str) -> dict[str, str]:
    """What a user's app sends with each request, for an hour."""
    return {"Authorization": f"Bearer {mint(tokens, user, TokenKind.USER, timedelta(hours=1))}"}


@asynccontextmanager
async def running_roles(
    world: World, side: Side, tokens: TokenSettings, *names: str
) -> AsyncIterator[Mapping[str, Role]]:
    """These roles, ready; stopped at the end. A load generator is one address, so nothing is limited."""
    environment = {
        **side.environment(),
        "MISSIONS_ENVIRONMENT": "development",
        "MISSIONS_DEVELOPMENT_KEY_FILE": str(tokens.development_key_file),
        "MISSIONS_RATE_LIMITS": "false",
    }
    roles = {name: world.role(name) for name in names}
    async with processes(list(roles.values()), environment):
        for role in roles.values():
            await asyncio.to_thread(role.wait_ready)
        yield roles
