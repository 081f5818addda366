"""S6: every route, with every method, for every kind of credential in every role; the routes come from the program."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from aiohttp import web

from chassis.errors import InvariantBroken
from chassis.http.server import serving
from chassis.http.web_auth import WebGuard
from chassis.http.web_config import read_web
from remediations.http.auth import NEEDED, require_roles
from remediations.http.roles import INCLUDED, Roles
from remediations.http.server import Server, ServerDependencies
from remediations.http.tokens import TokenCredentials
from remediations.journal.sqlite.adapter import open_journal
from remediations.metrics import Telemetry
from remediations.settings import HoldersSettings, Role, RolesSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import a_policy_set
from tests.fakes.http_server import GOOD, looking, running
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair
from tools.slowness import scaled

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
PROBES = {"/-/healthy", "/-/ready"}
PASSWORD = "correct horse"
ANYBODY, NOBODY = "delivering token", "user without a role"
Credential = tuple[Mapping[str, str], KeyPair | None]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyPair]:
    """The server's certificate, one client certificate for each role, and one that no role names."""
    folder = tmp_path_factory.mktemp("pairs")
    made = {name: make_serving_pair(folder, name, f"DNS:{name}.example") for name in (*Role, "stranger")}
    return {"server": make_serving_pair(folder, "server"), **made}


def write_files(folder: Path, pairs: Mapping[str, KeyPair], users: str) -> Path:
    """A token file for each role and one beside them, and a web configuration file."""
    for name in (*Role, "first"):
        (folder / f"token-{name}").write_text(f"a-token-of-the-test-{name}")
    authorities = "".join(pair.certificate_path.read_text() for name, pair in pairs.items() if name != "server")
    (folder / "clients.pem").write_text(authorities)
    (folder / "web.yml").write_text(f"""
tls_server_config:
  cert_file: {pairs["server"].certificate_path}
  key_file: {pairs["server"].key_path}
  client_auth_type: VerifyClientCertIfGiven
  client_ca_file: {folder}/clients.pem
{users}
""")
    return folder / "web.yml"


def all_users() -> str:
    """A user of each role, and one without."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    return "basic_auth_users:\n" + "".join(f"  {name}: '{hashed}'\n" for name in (*Role, "stranger"))


def settings_in(folder: Path) -> RolesSettings:
    """Each role for one token, one user and one certificate."""
    return RolesSettings(
        **{
            role.value: HoldersSettings(
                token_files=(folder / f"token-{role}",), users=(role.value,), certificates=(f"{role}.example",)
            )
            for role in Role
        }
    )


@asynccontextmanager
async def served(
    folder: Path, pairs: Mapping[str, KeyPair], users: str, *, has_roles: bool
) -> AsyncIterator[tuple[str, web.Application]]:
    """The program's own application over TLS, with or without the setting."""
    file = await asyncio.to_thread(write_files, folder, pairs, users)
    clock, first = ManualClock(), await asyncio.to_thread(read_web, file)
    guard = WebGuard(file, first, lambda _reason: None, clock, HTTPStatus.SERVICE_UNAVAILABLE)
    telemetry = await asyncio.to_thread(Telemetry, ["restart-api"])
    files = tuple(folder / f"token-{name}" for name in (*Role, "first"))
    async with open_journal(folder / "journal.db", timeout_seconds=scaled(10)) as journal:
        roles = Roles(settings_in(folder) if has_roles else None, (folder / "token-first",))
        parts = ServerDependencies(
            journal, a_policy_set, TokenCredentials(files, clock), telemetry, clock, lambda: None,
            *looking(journal, clock, folder, {}), guard=guard, roles=roles,
        )  # fmt: skip
        app = Server(parts).application()
        async with serving(app, "127.0.0.1", 0, tls=first.tls, drain_seconds=0.1) as (_, port):
            yield f"https://localhost:{port}", app


def credentials_for(pairs: Mapping[str, KeyPair]) -> dict[str, tuple[Credential, frozenset[Role] | None]]:
    """Every credential by name, with its roles; None: it is not a credential."""
    made: dict[str, tuple[Credential, frozenset[Role] | None]] = {
        "none": (({}, None), None),
        "wrong token": (({"Authorization": "Bearer a-token-of-nobody-0001"}, None), None),
        "wrong password": (({"Authorization": aiohttp.encode_basic_auth("approve", "wrong")}, None), None),
        "unknown user": (({"Authorization": aiohttp.encode_basic_auth("nobody", PASSWORD)}, None), None),
        "certificate of no role": (({}, pairs["stranger"]), None),
        "wrong token, right certificate": (
            ({"Authorization": "Bearer a-token-of-nobody-0001"}, pairs["approve"]),
            None,
        ),
        ANYBODY: (({"Authorization": "Bearer a-token-of-the-test-first"}, None), frozenset({Role.DELIVER})),
        NOBODY: (({"Authorization": aiohttp.encode_basic_auth("stranger", PASSWORD)}, None), frozenset()),
    }
    for role in Role:
        has = INCLUDED[role]
        made[f"token {role}"] = (({"Authorization": f"Bearer a-token-of-the-test-{role}"}, None), has)
        made[f"user {role}"] = (({"Authorization": aiohttp.encode_basic_auth(role.value, PASSWORD)}, None), has)
        made[f"certificate {role}"] = (({}, pairs[role]), has)
    return made


def routes_of(app: web.Application) -> dict[tuple[str, str], Role | None]:
    """Every route of the application with the role that the table names."""
    keys = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]
    return {(method, path): NEEDED["GET" if method == "HEAD" else method, path] for method, path in keys}


def expected(path: str, role: Role | None, has: frozenset[Role] | None, *, is_route: bool, is_open: bool) -> str:
    """The result of a request: `in`, `401` or `403`."""
    if path in PROBES or (is_open and path in {"/", "/metrics"}):
        return "in"
    if has is None:
        return "401"
    return "in" if not is_route or role is None or role in has else "403"


async def sweep(
    url: str,
    app: web.Application,
    pairs: Mapping[str, KeyPair],
    *,
    has_users: bool,
    by_default: frozenset[Role] | None = None,
) -> tuple[int, list[str]]:
    """Sends every request; the number of requests, and the deviations from the table."""
    routes, wrong, number = routes_of(app), [], 0
    for name, ((headers, pair), given) in credentials_for(pairs).items():
        has = given if given is None or by_default is None else by_default
        if not has_users and name.startswith("user "):
            has = None
        if by_default is not None and pair is not None:
            has = None  # without the setting a certificate is not a credential if there are tokens
        context = ssl.create_default_context(cafile=str(pairs["server"].certificate_path))
        if pair is not None:
            context.load_cert_chain(pair.certificate_path, pair.key_path)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            for path in sorted({path for _, path in routes}):
                for method in METHODS:
                    place = url + path.replace("{id}", "r1").replace("{name}", "n1")
                    async with session.request(method, place, data=b"{}", headers=headers) as answer:
                        got = str(answer.status) if answer.status in {401, 403} else "in"
                        text = await answer.text()
                    role = routes.get((method, path))
                    want = expected(path, role, has, is_route=(method, path) in routes, is_open=not has_users)
                    number += 1
                    if got != want or answer.status >= 500:
                        wrong.append(f"{name}: {method} {path}: {answer.status}, expected {want}")
                    if got == "403" and method != "HEAD" and (role is None or f"the role {role.value}" not in text):
                        wrong.append(f"{name}: {method} {path}: the text does not name the role: {text}")
    return number, wrong


@pytest.mark.timeout(scaled(60))
@pytest.mark.parametrize("has_users", [True, False], ids=["users", "no users"])
async def test_every_route_admits_exactly_the_roles_of_the_table(tmp_path, pairs, has_users, capsys):
    users = all_users() if has_users else ""
    async with served(tmp_path, pairs, users, has_roles=True) as (url, app):
        number, wrong = await sweep(url, app, pairs, has_users=has_users)

    with capsys.disabled():
        print(f"\nroutes x methods x credentials: {number} requests")
    assert wrong == []
    assert number == len({path for _, path in NEEDED}) * len(METHODS) * len(credentials_for(pairs))


@pytest.mark.timeout(scaled(60))
async def test_without_the_setting_every_credential_delivers_and_reads_and_nothing_else(tmp_path, pairs):
    by_default = frozenset({Role.DELIVER, Role.READ})
    async with served(tmp_path, pairs, all_users(), has_roles=False) as (url, app):
        _, wrong = await sweep(url, app, pairs, has_users=True, by_default=by_default)

    assert wrong == []


async def test_refusal_without_the_setting_says_what_to_set(tmp_path):
    async with running(tmp_path, has_roles=False) as server:
        assert (await server.post(GOOD))[0] == 200
        headers = {"Authorization": "Bearer a-token-of-the-test-0001"}
        async with server.session.delete(f"{server.url}/api/v1/pauses/n", headers=headers) as answer:
            content = await answer.json()

    assert (answer.status, content["status"]) == (403, "forbidden")
    assert "the role operate" in content["error"]
    assert "server.roles" in content["error"]
    assert server.count("webhook_notifications_total", status="forbidden") == 1


def test_route_without_a_role_keeps_the_program_from_serving():
    async def nothing(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/v1/new", nothing)

    with pytest.raises(InvariantBroken, match="POST /api/v1/new"):
        require_roles(app)


def test_table_names_every_route_and_no_other(tmp_path):
    """A row for a removed route would look like protection."""
    described = set(NEEDED)

    async def served_routes() -> set[tuple[str, str]]:
        async with running(tmp_path) as server:
            return {(route.method, route.resource.canonical) for route in server.routes if route.method != "HEAD"}

    assert asyncio.run(served_routes()) == described
