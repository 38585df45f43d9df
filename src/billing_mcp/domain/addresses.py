"""Owns which internet addresses anybody on the internet may mean: those of the public internet, and of one host each.

The lists are our own, and do not change with the version of Python. They follow the registries of special-purpose
addresses (RFC 6890), and are stricter: what leads through a translator or a tunnel to another address is refused
whole, whatever that other address is.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' address translation
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the platform's own services, seen from machines on Azure
        "169.254.0.0/16",  # link-local, and the metadata of cloud machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays from 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""What is outside has no public host: loopback, private, link-local, site-local, mapped, translated, multicast."""
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols: Teredo, benchmarks, overlays
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address within
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether it is a host of the public internet. A scope id, of one machine's own interfaces, makes it none."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _GLOBAL_UNICAST_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def is_loopback(address: Address) -> bool:
    """Whether it is this machine itself, and written as such."""
    return address.is_loopback and not (isinstance(address, IPv6Address) and address.ipv4_mapped is not None)


def address_of(text: str) -> Address | None:
    """The address that a text is in full; None for any other, such as a name or a number in another notation."""
    try:
        return ip_address(text)
    except ValueError:
        return None
