"""What every role listens on, and what answers there: probes and metrics inside, calls outside, and nothing else anywhere."""

import httpx
import psutil
import pytest

from tests.support.system import Running

INSIDE = {"/livez": 200, "/readyz": 200, "/metrics": 200}
OUTSIDE = {"/openapi.json": 200, "/problems/not-found": 200, "/missions": 401}
NOWHERE = ("/docs", "/redoc", "/admin", "/stats/", "/table/", "/graph/", "/static/", "/debug/pprof/", "/")
"""Among them the pages of Faust's web server."""


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses and ports on which a process or a child of it accepts connections, and UDP ones that it reads."""
    root = psutil.Process(pid)
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in (root, *root.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.laddr and (connection.status == psutil.CONN_LISTEN or connection.type.name == "SOCK_DGRAM")
    }


@pytest.mark.parametrize("name", ["processor", "claims", "relay", "api", "scheduler"])
async def test_a_role_listens_where_it_says_and_answers_there_what_it_should(system: Running, name: str) -> None:
    role = system.stack.roles[name]
    assert role.pid is not None
    wanted = {("127.0.0.1", role.inside_port)}
    if role.http_port is not None:
        wanted.add(("127.0.0.1", role.http_port))
    assert listening(role.pid) == wanted

    async with httpx.AsyncClient(timeout=30) as http:

        async def status(port: int, path: str) -> int:
            return (await http.get(f"http://127.0.0.1:{port}{path}")).status_code

        for path, expected in INSIDE.items():
            assert await status(role.inside_port, path) == expected, path
        for path in (*OUTSIDE, *NOWHERE):
            assert await status(role.inside_port, path) == 404, path
        if role.http_port is not None:
            for path in (*INSIDE, *NOWHERE):
                assert await status(role.http_port, path) == 404, path
            for path, expected in OUTSIDE.items():
                if name == "api" or path != "/missions":
                    assert await status(role.http_port, path) == expected, path


async def test_no_method_opens_what_is_inside(system: Running) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = await http.request(method, f"http://127.0.0.1:{system.stack.roles['api'].inside_port}/metrics")
            assert answer.status_code == 405
