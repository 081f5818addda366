from __future__ import annotations

import pytest

from chassis.errors import ConfigError
from chassis.redis.address import TLS_PARAMETERS, RedisAddress

SECRET = "hunter2"
KNOWN = ", ".join(sorted((*TLS_PARAMETERS, "db", "password", "username")))
EXPECTED = "redis.url: expected redis://[user:password@]host:port/db, rediss:// or unix://"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", (None, "", "h", 6379, 0)),
        ("redis://:p%40@h:7000/2", (None, "p@", "h", 7000, 2)),
        ("redis://u:p@h/0?db=3&socket_timeout=5", ("u", "p", "h", 6379, 3)),
        ("redis://h?username=u&password=p", ("u", "p", "h", 6379, 0)),
        ("rediss://[::1]/1", (None, "", "::1", 6379, 1)),
    ],
)
def test_url_is_taken_apart_as_by_redis_py(url: str, place: tuple[str | None, str, str, int, int]) -> None:
    target = RedisAddress.parse(url).target()
    assert (target.user, target.password.get_secret_value(), target.host, target.port, target.database) == place
    assert target.is_tls is url.startswith("rediss")


def test_unix_url_names_a_socket() -> None:
    target = RedisAddress.parse("unix://:p@/run/redis.sock?db=2").target()
    assert (target.socket_path, target.database, target.password.get_secret_value()) == ("/run/redis.sock", 2, "p")


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ("?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca", {
            "ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": "/ca",
        }),
        ("?ssl_check_hostname=false", {"ssl_cert_reqs": "required", "ssl_check_hostname": False}),
    ],
)  # fmt: skip
def test_tls_verifies_unless_told_otherwise(query: str, arguments: dict[str, object]) -> None:
    assert RedisAddress.parse(f"rediss://h{query}").target().tls_arguments == arguments


@pytest.mark.parametrize(
    ("url", "faults"),
    [
        ("", [EXPECTED]),
        ("http://h", [EXPECTED]),
        ("redis://h:port", ["redis.url: not a URL: the host or the port cannot be read"]),
        ("rediss://h/x?ssl_cert_reqs=maybe&tls=yes", [
            f"redis.url: unknown parameter tls; known: {KNOWN}",
            "redis.url: the database is not a number",
            "redis.url: ssl_cert_reqs must be one of none, optional, required",
        ]),
    ],
)  # fmt: skip
def test_unusable_url_names_the_setting_and_every_fault(url: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisAddress.parse(url)
    assert [str(fault) for fault in caught.value.faults] == faults


@pytest.mark.parametrize("user", ["", "api"])
@pytest.mark.parametrize("place", ["redis://{}@redis.example:6379/0", "rediss://{}@redis.example/0"])
@pytest.mark.parametrize("password", ["pa#ss", "#pass", "pass#", "12#34", "pa/ss", "12/34", "pa?ss", "12?34", "p[a"])
def test_password_that_is_not_encoded_is_told_to_be(user, place, password):
    """X19: it was "not a URL"; digits before the sign were even taken for a port of localhost."""
    with pytest.raises(ConfigError) as caught:
        RedisAddress.parse(place.format(f"{user}:{password}"))
    assert "percent-encode" in str(caught.value)
    assert password not in str(caught.value)
    assert "34" not in str(caught.value)


def test_encoded_password_is_the_password():
    address = RedisAddress.parse("redis://:pa%23s%2Fs@redis.example:6379/0")
    assert address.target().password.get_secret_value() == "pa#s/s"
