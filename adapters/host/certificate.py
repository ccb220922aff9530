"""Reads the certificate that a server presents."""

import asyncio
import ssl
from dataclasses import dataclass

from daemon.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class Certificate:
    """The validity of a certificate, in Unix seconds."""

    begins: float
    ends: float


async def read_certificate(host: str, port: int, *, timeout: float) -> Certificate:
    """Make a TLS handshake and nothing else. Raises Refused for an untrusted certificate, or Unavailable."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        raise Refused("TLS", error.verify_message) from None
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"no TLS connection to {host}:{port} ({type(error).__name__})") from None
    shown = writer.get_extra_info("peercert")
    writer.transport.abort()  # nothing more to send
    return Certificate(ssl.cert_time_to_seconds(shown["notBefore"]), ssl.cert_time_to_seconds(shown["notAfter"]))
