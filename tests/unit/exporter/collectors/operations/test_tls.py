from __future__ import annotations

import pytest

from exporter.collector import NotConfiguredError
from exporter.collectors.operations.tls import TlsCollector, TlsEndpoint, TlsSettings, endpoints_of
from exporter.settings import ApiSettings, BouncerTarget, ExporterSettings
from tests.fakes.sources import make_sources


def places(settings, **configuration):
    found = endpoints_of(settings, ExporterSettings(**configuration))
    return {endpoint.name: (endpoint.host, endpoint.port) for endpoint in found}


def test_https_urls_of_api_and_bouncers_are_looked_at_and_plain_ones_are_not():
    bouncers = (
        BouncerTarget(name="b-tls", url="https://b:8443"),
        BouncerTarget(name="b-plain", url="http://c:8080"),
    )
    assert places(TlsSettings(), api=ApiSettings(url="https://api.example"), bouncers=bouncers) == {
        "api": ("api.example", 443),
        "b-tls": ("b", 8443),
    }


def test_named_endpoint_wins_over_a_url_of_the_same_name():
    settings = TlsSettings(
        endpoints=(TlsEndpoint(name="api", host="ingress"), TlsEndpoint(name="idp", host="idp", port=8443))
    )
    assert places(settings, api=ApiSettings(url="https://api")) == {"api": ("ingress", 443), "idp": ("idp", 8443)}


async def test_configuration_without_tls_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with TlsCollector.open(TlsSettings(), make_sources(ExporterSettings(api=ApiSettings(url="http://api")))):
            pass
