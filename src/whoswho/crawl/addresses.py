"""Which addresses may be asked for.

A page can name any address: this machine's own services, the router, the metadata of a cloud
machine. So only http and https are taken, every host is resolved, every address it resolves to
must be public, and the connection is made to one of exactly these, never by resolving the name a
second time, when it might resolve to something else. This holds for every connection, after a
redirect too. `allow_private` switches the check of the range off.

Through a proxy it is the proxy that resolves and connects; see `check`.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not told by `is_global`: public by number, yet answered from inside.
_METADATA = {
    ipaddress.ip_address("168.63.129.16"),  # Azure's wire server
    ipaddress.ip_address("192.0.0.192"),  # Oracle's metadata
}
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


CURE = "--allow-private asks for it nevertheless"  # ends what is said of a private one


class AddressRefused(Exception):  # noqa: N818 - a verdict on an address, written down
    """Why an address is not asked for, in a few words."""


def split(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an http or https address.

    Raises:
        AddressRefused: it is another kind of address, or none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused("not an address") from None
    if "\\" in parts.netloc:  # where the host ends is read differently by those who connect
        raise AddressRefused("not an address")
    if parts.scheme not in ("http", "https"):
        raise AddressRefused(f"{parts.scheme or 'no scheme'}: only http and https are asked for")
    if not host:
        raise AddressRefused("an address without a host")
    return parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme]


def public(address: Address) -> bool:
    """Whether an address is one of the internet, also where another one is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return False
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _NAT64):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
        if address.is_site_local:
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special and address not in _METADATA


def resolve(host: str, port: int, *, allow_private: bool) -> list[tuple[Any, ...]]:
    """What `host` resolves to, as arguments for sockets: (family, type, protocol, address).

    Raises:
        AddressRefused: one of its addresses is private, be there public ones as well.
        OSError: it does not resolve.
    """
    resolved = []
    for family, kind, protocol, _, target in socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM
    ):
        address = ipaddress.ip_address(str(target[0]))
        if not allow_private and not public(address):
            where = "" if str(address) == host.strip("[]") else f", {address}"
            raise AddressRefused(f"{host} is in a private network{where}; {CURE}")
        resolved.append((family, kind, protocol, target))
    return resolved


def check(url: str, *, allow_private: bool) -> None:
    """Refuse what must not be asked for, as far as that can be told before connecting.

    It suffices alone only where something else connects: a browser, or a proxy. These resolve the
    name again and go where it then leads. A name that does not resolve here is left to them.

    Raises:
        AddressRefused: the scheme, or an address that the host resolves to here.
    """
    _, host, port = split(url)
    try:
        resolve(host, port, allow_private=allow_private)
    except OSError:
        return
    except UnicodeError:  # a label of the host is empty or too long
        raise AddressRefused(f"{host} is no host's name") from None
