"""TLS with client certificates: what gets through, and each failure as a sentence.

Against the system's redis-server: the bundled one is built without TLS.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from abe_redis import Settings
from abe_redis.errors import RedisUnavailableError, SettingsError
from tests.integration.client.secured import certificates, failure, round_trip, tls_server, with_certificates
from tests.servers import HOST, Certificates, Server, Servers

__all__ = ["certificates", "tls_server"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_rediss_with_a_client_certificate(
    tls_server: Server, certificates: Certificates, host: str
) -> None:
    assert tls_server.url.startswith("rediss://")
    url = tls_server.url.replace(HOST, host)
    await round_trip(Settings(redis_url=url, **with_certificates(certificates)))


async def test_redis_ssl_turns_redis_into_tls(tls_server: Server, certificates: Certificates) -> None:
    url = tls_server.url.replace("rediss://", "redis://")
    await round_trip(Settings(redis_url=url, redis_ssl=True, **with_certificates(certificates)))


async def test_without_tls_a_tls_port_is_unavailable(tls_server: Server) -> None:
    url = tls_server.url.replace("rediss://", "redis://")
    error = await failure(Settings(redis_url=url))
    assert isinstance(error, RedisUnavailableError)


@pytest.mark.promise("always verifies the certificate and the host name")
async def test_an_authority_that_is_not_trusted(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    settings = with_certificates(replace(certificates, ca=others.ca))
    error = await failure(Settings(redis_url=tls_server.url, **settings))
    assert "certificate verify failed" in str(error)
    assert "Set REDIS_SSL_CA_CERTS to the file of the authority" in str(error)
    # Without an authority of our own it is the system's that count.
    error = await failure(Settings(redis_url=tls_server.url, **settings | {"redis_ssl_ca_certs": None}))
    assert "certificate verify failed" in str(error)


@pytest.mark.promise("`REDIS_SSL_CA_CERTS` replaces the system's authorities")
async def test_the_authority_that_is_given_is_the_only_one(
    tls_server: Server, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))  # as if it were the system's
    settings = with_certificates(certificates)
    await round_trip(Settings(redis_url=tls_server.url, **settings | {"redis_ssl_ca_certs": None}))
    pinned = settings | {"redis_ssl_ca_certs": Certificates.make(tmp_path).ca}
    error = await failure(Settings(redis_url=tls_server.url, **pinned))
    assert "certificate verify failed" in str(error)


async def test_a_client_certificate_that_is_missing(tls_server: Server, certificates: Certificates) -> None:
    error = await failure(Settings(redis_url=tls_server.url, redis_ssl_ca_certs=certificates.ca))
    assert isinstance(error, RedisUnavailableError)
    assert "if it asks for a client certificate, REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE" in str(error)


async def test_a_client_certificate_of_another_authority(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    error = await failure(
        Settings(redis_url=tls_server.url, **with_certificates(replace(others, ca=certificates.ca)))
    )
    assert isinstance(error, RedisUnavailableError)
    assert "if it asks for a client certificate, REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE" in str(error)


@pytest.mark.promise("always verifies the certificate and the host name")
async def test_a_certificate_for_another_host(debian_redis: Servers, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("elsewhere.test")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    server = debian_redis(
        tls=True,
        options={
            "tls-ca-cert-file": str(ca),
            "tls-cert-file": str(cert),
            "tls-key-file": str(key),
            "tls-auth-clients": "no",
        },
    )
    error = await failure(Settings(redis_url=server.url, redis_ssl_ca_certs=ca))
    assert "certificate verify failed: IP address mismatch" in str(error)


@pytest.mark.parametrize("name", ["redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"])
async def test_a_file_that_is_not_there(
    tls_server: Server, certificates: Certificates, name: str, tmp_path: Path
) -> None:
    settings = with_certificates(certificates) | {name: tmp_path / "nothing.pem"}
    error = await failure(Settings(redis_url=tls_server.url, **settings))
    assert isinstance(error, SettingsError)
    assert str(error) == f"{name.upper()} names '{tmp_path / 'nothing.pem'}', which is not a file."


async def test_files_that_do_not_belong_together(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    for wrong in (
        replace(certificates, client_key=others.client_key),
        replace(certificates, client_cert=certificates.client_key),
    ):
        error = await failure(Settings(redis_url=tls_server.url, **with_certificates(wrong)))
        assert isinstance(error, SettingsError)
        assert "REDIS_SSL_CERTFILE" in str(error)
    (tmp_path / "not.pem").write_text("no certificate")
    wrong = replace(certificates, ca=tmp_path / "not.pem")
    error = await failure(Settings(redis_url=tls_server.url, **with_certificates(wrong)))
    assert isinstance(error, SettingsError)
    assert "REDIS_SSL_CA_CERTS" in str(error)
