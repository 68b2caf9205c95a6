# SPDX-License-Identifier: Apache-2.0
"""What replay needs to know of an encoded message without decoding it."""

from __future__ import annotations

import struct


def with_stamp_zero(cdr: bytes) -> bytes:
    """The message with an all-zero header stamp."""
    return cdr[:4] + bytes(8) + cdr[12:]


def header_stamp_ns(cdr: bytes) -> int:
    """Stamp of a message that starts with `std_msgs/Header`, in nanoseconds."""
    little_endian = bool(cdr[1] & 1)  # second byte of the encapsulation header
    seconds, nanoseconds = struct.unpack_from("<iI" if little_endian else ">iI", cdr, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
