"""The network between roles and servers: a proxy for each role and server, so that each way can be cut or slowed by itself."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.stack.roles import ROLE_PLANS
from services.stack.server import Servers
from tests.support.proxy import Proxy, proxy_to

from .servers import ProxiedKafka

KAFKA, POSTGRES, REDIS = "kafka", "postgres", "redis"
SERVERS = (KAFKA, POSTGRES, REDIS)
ROLES = tuple(plan.name for plan in ROLE_PLANS)


@dataclass(frozen=True)
class Network:
    """Which proxy a role reaches a server by. All roles share the way to Kafka: a broker tells its clients one address."""

    kafka: Proxy
    postgres: dict[str, Proxy]
    redis: dict[str, Proxy]

    def ways(self, server: str, role: str | None = None) -> list[Proxy]:
        """The proxies between a server and one role, or all of them."""
        if server == KAFKA:
            return [self.kafka]
        by_role = self.postgres if server == POSTGRES else self.redis
        return list(by_role.values()) if role is None else [by_role[role]]

    def environment(self, role: str, servers: Servers) -> dict[str, str]:
        """Where a role finds its servers."""
        return {
            "MISSIONS_KAFKA_BOOTSTRAP": f"127.0.0.1:{self.kafka.port}",
            "MISSIONS_POSTGRES_DSN": self.postgres[role].through(servers.postgres.address),
            "MISSIONS_REDIS_URL": self.redis[role].through(servers.redis.address),
        }

    def all(self) -> Iterator[Proxy]:
        """Every proxy."""
        for server in SERVERS:
            yield from self.ways(server)


@asynccontextmanager
async def network(servers: Servers, kafka: ProxiedKafka) -> AsyncIterator[Network]:
    """All proxies, while the block runs."""
    async with AsyncExitStack() as stack:
        to_kafka = await stack.enter_async_context(proxy_to(kafka.proxied_address, kafka.proxy_port))
        postgres = {role: await stack.enter_async_context(proxy_to(servers.postgres.address)) for role in ROLES}
        redis = {role: await stack.enter_async_context(proxy_to(servers.redis.address)) for role in ROLES}
        yield Network(to_kafka, postgres, redis)
