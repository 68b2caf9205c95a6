# SPDX-License-Identifier: Apache-2.0
"""Encoded messages to objects, by the message definitions that the bag itself holds where they differ from ours.

A definition is text from a stranger that rosbags, once it has parsed it, turns into Python code: only those of the
types that a drive consists of are parsed, and the parser lets nothing through but names and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from geodistill_core.bags.storage.parts import Definition
from geodistill_core.bags.writer import typestore
from geodistill_core.errors import BagError

MAX_DEFINITION_CHARACTERS = 200_000
_IDL_SEPARATOR = "=" * 80 + "\n"


def is_standard(msgtype: str) -> bool:
    """Whether a message type is one of ROS 2's own."""
    return msgtype in typestore().fielddefs


class Definitions:
    """The message types of one bag."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions
        self._stores: dict[str, Any] = {}

    def decode(self, cdr: bytes, msgtype: str) -> Any:
        """The message as rosbags' class; raises whatever foreign bytes and definitions provoke."""
        if msgtype not in self._stores:
            self._stores[msgtype] = self._store(msgtype)
        return self._stores[msgtype].deserialize_cdr(cdr, msgtype)

    def _store(self, msgtype: str) -> Any:
        """Our own types where the bag has the same or none, else a store that knows the bag's."""
        definition = self._definitions.get(msgtype)
        if definition is None or not definition.text:
            return typestore()
        types = _parsed(msgtype, definition)
        ours = typestore().fielddefs
        if all(name in ours and _fields(ours[name]) == _fields(types[name]) for name in types):
            return typestore()
        for name in types.keys() & ours.keys():
            lacking = [field for field in _fields(ours[name]) if field not in _fields(types[name])]
            if lacking:
                field = lacking[0][0]
                raise BagError(
                    f"{name} in this bag lacks the field {field!r} of the standard; record the standard type"
                )
        store = get_typestore(Stores.EMPTY)
        store.register(types)
        return store


def _parsed(msgtype: str, definition: Definition) -> Any:
    """Types by name of a definition and what it depends on; raises BagError for one that is no definition."""
    if len(definition.text) > MAX_DEFINITION_CHARACTERS:
        raise BagError(
            f"the definition of {msgtype} has {len(definition.text)} characters, over {MAX_DEFINITION_CHARACTERS}; "
            "it is damaged"
        )
    try:
        if definition.encoding == "ros2msg":
            types = get_types_from_msg(definition.text, msgtype)
        else:
            types = {}
            for part in filter(None, definition.text.split(_IDL_SEPARATOR)):
                types |= get_types_from_idl(part.partition("\n")[2] if part.startswith("IDL: ") else part)
    except Exception as error:  # whatever a parser makes of foreign text
        raise BagError(f"the bag's definition of {msgtype} cannot be read ({error}); record it again") from error
    if msgtype not in types:
        raise BagError(f"the bag's definition of {msgtype} defines {', '.join(types) or 'nothing'}; it is damaged")
    return types


def _fields(definition: Any) -> list[tuple[str, Any]]:
    return [(name.lower(), kind) for name, kind in definition[1]]
