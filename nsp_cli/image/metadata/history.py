"""`xmpMM:History` in XMP packets: what was done to a picture, one entry for each program that changed it.

Source: Adobe, XMP Specification Part 2, "XMP Media Management namespace" and "ResourceEvent". Entries are added by
patterns, so that all else of a packet stays as it was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MEDIA = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_EMPTY = (
    f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{_RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n'
    f'<?xpacket end="w"?>'
).encode()
_IN_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)
"""Characters and their escapes in XML attributes; `xml.sax.saxutils` has them too, but loads a web client."""
MOST_BYTES = 65_504
"""Length of the longest packet that a JPEG holds."""


@dataclass(frozen=True)
class Event:
    """An entry of a history, the fields as XMP names them.

    Attributes
    ----------
    action : str
        One of XMP's verbs, such as "filtered" or "saved".
    agent : str
        The program and its version (`softwareAgent`).
    parameters : str
        Settings that the program was called with.
    """

    action: str = ""
    agent: str = ""
    parameters: str = ""


def add_event(xmp: bytes | None, event: Event) -> bytes | None:
    """Return XMP with one more entry at the end of its history.

    None where the packet cannot be read, or where it would no longer fit into a JPEG, as it did before. The entry takes
    the place of padding at the packet's end.
    """
    packet = _EMPTY if xmp is None else xmp
    rdf = re.search(rb"""xmlns:([\w.-]+)\s*=\s*["']%b["']""" % re.escape(_RDF.encode()), packet)
    if rdf is None or _parsed(packet) is None:  # patterns are slow on packets that are not XML
        return None
    changed = _inserted(packet, rdf[1], event)
    if changed is None or events(changed) != [*events(packet), event]:
        return None
    end = changed.rfind(b"<?xpacket end")
    start = len(changed[: max(end, 0)].rstrip())
    spare = min(len(changed) - len(packet), max(end - start - 1, 0))
    changed = changed[:start] + changed[start + spare :]
    return None if len(packet) <= MOST_BYTES < len(changed) else changed


def events(xmp: bytes | None) -> list[Event]:
    """Return the entries of a packet's history, the oldest first; none for a packet that cannot be read."""
    root = None if xmp is None else _parsed(xmp)
    if root is None:
        return []
    items = [item for history in root.iter(f"{{{_MEDIA}}}History") for item in history.iter(f"{{{_RDF}}}li")]
    return [Event(*(_value(item, name) for name in ("action", "softwareAgent", "parameters"))) for item in items]


def _parsed(xmp: bytes) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xmp.strip(b"\0 \t\r\n"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None


def _value(item: ElementTree.Element, name: str) -> str:
    """Return a field of an entry, which is an attribute or an element below it."""
    name = f"{{{_EVENT}}}{name}"
    below = next(item.iter(name), None)
    return item.get(name) or (below.text or "" if below is not None else "")


def _inserted(packet: bytes, rdf: bytes, event: Event) -> bytes | None:
    """Insert an entry into the history, which is made where there is none; None where the packet has no place."""
    fields = (("action", event.action), ("softwareAgent", event.agent), ("parameters", event.parameters))
    attributes = " ".join(f"stEvt:{name}='{value.translate(_IN_ATTRIBUTE)}'" for name, value in fields)
    item = b'<%b:li xmlns:stEvt="%b" %b/>' % (rdf, _EVENT.encode(), attributes.encode())
    for prefix in re.findall(rb"""xmlns:([\w.-]+)\s*=\s*["']%b["']""" % re.escape(_MEDIA.encode()), packet):
        history = re.search(rb"<%b:History\b[^<>]*?(?:/>|>(.*?)</%b:History\s*>)" % (prefix, prefix), packet, re.DOTALL)
        if history is None:
            continue
        close = packet.rfind(b"</%b:Seq" % rdf, history.start(), history.end())
        if close < 0:  # an empty list
            whole = b"<%b:History><%b:Seq>%b</%b:Seq></%b:History>" % (prefix, rdf, item, rdf, prefix)
            return packet[: history.start()] + whole + packet[history.end() :]
        return packet[:close] + item + packet[close:]
    end = packet.rfind(b"</%b:RDF" % rdf)
    if end < 0:
        return None
    # All descriptions of a packet are about the same thing, which has a name in old ones.
    about = re.search(rb"""<%b:Description\b[^<>]*?\s%b:about\s*=\s*["']([^"']*)["']""" % (rdf, rdf), packet)
    name = b"" if about is None else about[1]
    opening = b'<%b:Description %b:about="%b" xmlns:xmpMM="%b">' % (rdf, rdf, name, _MEDIA.encode())
    history = b"<xmpMM:History><%b:Seq>%b</%b:Seq></xmpMM:History>" % (rdf, item, rdf)
    return packet[:end] + opening + history + b"</%b:Description>\n " % rdf + packet[end:]
