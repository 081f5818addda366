"""What this machine's pip is told goes into a build, and nothing that names a file of this machine."""

from __future__ import annotations

import pytest

from tools.install.image import pip_secrets
from tools.install.image.pip_secrets import read_settings, tell, write_secrets

LISTING = """:env:.cert='/etc/ssl/corporate.pem'
:env:.default-timeout='180'
:env:.find-links='/opt/wheels'
global.extra-index-url='\\nhttps://one.test/simple\\nhttps://two.test/simple'
global.index-url='https://ann:secret@mirror.test/simple'
global.timeout='15'
install.index-url='https://mirror.test/other'
download.index-url='https://mirror.test/third'
"""


@pytest.fixture
def listing(monkeypatch):
    """Sets what pip says."""
    for name in pip_secrets.BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return lambda text: monkeypatch.setattr(pip_secrets, "_list_settings", lambda: text)


def test_settings_of_an_install_are_read_as_pip_ranks_them():
    assert read_settings(LISTING) == {
        "cert": "/etc/ssl/corporate.pem",
        "timeout": "180",
        "extra-index-url": "\nhttps://one.test/simple\nhttps://two.test/simple",
        "index-url": "https://mirror.test/other",
    }


def test_bundle_is_a_secret_and_is_named_where_it_will_be(listing, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    listing(LISTING.replace("/etc/ssl/corporate.pem", str(bundle)))
    secrets = write_secrets(tmp_path)
    assert secrets["ca"] == bundle
    written = secrets["pip"].read_text()
    assert "cert = /run/secrets/ca\n" in written
    assert "extra-index-url = \n\thttps://one.test/simple\n\thttps://two.test/simple\n" in written
    assert "/opt/wheels" not in written
    assert secrets["pip"].stat().st_mode & 0o077 == 0


def test_bundle_of_the_environment_counts_as_for_pip(listing, tmp_path, monkeypatch):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    listing("")
    secrets = write_secrets(tmp_path)
    assert secrets["ca"] == bundle
    assert secrets["pip"].read_text().split() == ["[global]", "cert", "=", "/run/secrets/ca"]


def test_bundle_that_is_not_there_is_left_out(listing, tmp_path):
    listing("global.cert='/nowhere/ca.pem'\n")
    assert write_secrets(tmp_path) == {}


def test_pip_without_settings_needs_no_secret(listing, tmp_path):
    listing("")
    assert write_secrets(tmp_path) == {}
    assert tell({}) == "pip in the build has its defaults"


def test_names_alone_are_told(listing, tmp_path):
    listing(LISTING)
    said = tell(write_secrets(tmp_path))
    assert said.endswith(": extra-index-url, index-url, timeout")
    assert "secret@" not in said
