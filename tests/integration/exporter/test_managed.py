"""Managed data stores: verified TLS to both, with passwords in files that are rotated while the exporter runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes.running_exporter import running_exporter
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair
from tools.servers.ports import free_port
from tools.servers.postgres import ACCOUNT, PostgresServer
from tools.servers.redis import RedisServer

pytestmark = pytest.mark.timeout(120)
QUICK = {name: {"interval_seconds": 1, "timeout_seconds": 1.5} for name in ("postgres", "postgres_canary", "redis")}


class TlsPostgres(PostgresServer):
    """Serves TLS with a certificate for 127.0.0.1 that is its own authority."""

    def prepare(self) -> None:
        super().prepare()
        self.pair = make_serving_pair(self.folder, "served")
        self.pair.key_path.chmod(0o600)
        if self._account is not None:
            shutil.chown(self.pair.key_path, ACCOUNT, ACCOUNT)
        with (self.folder / "data" / "postgresql.auto.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(
                f"ssl = on\nssl_cert_file = '{self.pair.certificate_path}'\nssl_key_file = '{self.pair.key_path}'\n"
            )


def tls_redis(pair: KeyPair, port: int) -> RedisServer:
    return RedisServer(
        password="first",
        settings={
            "tls-port": str(port),
            "tls-cert-file": str(pair.certificate_path),
            "tls-key-file": str(pair.key_path),
            "tls-ca-cert-file": str(pair.certificate_path),
            "tls-auth-clients": "no",
        },
    )


def test_rotated_passwords_are_read_again_over_verified_tls(tmp_path: Path) -> None:
    pair, port = make_serving_pair(tmp_path, "redis"), free_port()
    files = {name: tmp_path / f"{name}.password" for name in ("postgres", "redis")}
    for file in files.values():
        file.write_text("first\n")
    with TlsPostgres() as postgres, tls_redis(pair, port):
        postgres.create_user("reader", "first")
        authority = postgres.pair.certificate_path
        settings = {
            "database": {
                "url": f"postgresql://reader@127.0.0.1:{postgres.port}/postgres"
                f"?sslmode=verify-full&sslrootcert={authority}",
                "password_file": str(files["postgres"]),
            },
            "redis": {
                "url": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={pair.certificate_path}",
                "password_file": str(files["redis"]),
            },
            "collectors": QUICK,
        }
        names = ("controlcore_postgres_up", "controlcore_redis_up")
        with running_exporter(tmp_path, settings) as exporter:
            exporter.wait_for(lambda page: [page.get(name) for name in names] == [1, 1], 20)
            postgres.run_sql("ALTER ROLE reader PASSWORD 'second'")
            exporter.wait_for(lambda page: "controlcore_postgres_up" not in page, 20)
            files["postgres"].write_text("second\n")
            exporter.wait_for(lambda page: [page.get(name) for name in names] == [1, 1], 20)
            assert exporter.end()[0] == 0
        assert "first" not in str(exporter.log)
        assert "second" not in str(exporter.log)


def test_certificate_of_a_stranger_is_a_tls_failure_of_both(tmp_path: Path) -> None:
    pair, port = make_serving_pair(tmp_path, "redis"), free_port()
    stranger = make_serving_pair(tmp_path, "stranger").certificate_path
    with TlsPostgres() as postgres, tls_redis(pair, port):
        settings = {
            "database": {"url": f"{postgres.dsn()}?sslmode=verify-full&sslrootcert={stranger}"},
            "redis": {"url": f"rediss://:first@127.0.0.1:{port}/0?ssl_ca_certs={stranger}"},
            "collectors": QUICK,
        }
        with running_exporter(tmp_path, settings) as exporter:
            exporter.wait_until_ready()
            samples = exporter.samples()
            assert not {"controlcore_postgres_up", "controlcore_redis_up"} & set(samples), "only our access failed: P12"
            assert samples['controlcore_postgres_connection_failures_total{reason="tls"}'] >= 1
            assert exporter.end()[0] == 0
