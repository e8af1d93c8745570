"""Histories in XMP: entries are added to any packet, and nothing else of it changes."""

import pytest

from nsp_cli.image.metadata.history import MOST_BYTES, Event, add_event, events

NEW = Event("filtered", "nsp 1", '{"a": "<&\'>", "ä": 1}')
OLD = Event("saved", "Other 2", "as said")
RDF = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">%b</rdf:RDF>'
MM = b'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
SHORT = b'<rdf:li stEvt:action="saved" stEvt:softwareAgent="Other 2" stEvt:parameters="as said"/>'
LONG = (
    b'<rdf:li rdf:parseType="Resource"><stEvt:action>saved</stEvt:action>'
    b"<stEvt:softwareAgent>Other 2</stEvt:softwareAgent><stEvt:parameters>as said</stEvt:parameters></rdf:li>"
)


def _packet(history: bytes, about: bytes = b"") -> bytes:
    return RDF % (b'<rdf:Description rdf:about="%b" %b a:b="c" xmlns:a="a">%b</rdf:Description>' % (about, MM, history))


@pytest.mark.parametrize(
    ("packet", "before"),
    [
        (None, []),
        (RDF % b"", []),
        (_packet(b""), []),
        (_packet(b"<xmpMM:History/>"), []),
        (_packet(b"<xmpMM:History><rdf:Seq/></xmpMM:History>"), []),
        (_packet(b"<xmpMM:History><rdf:Seq>%b</rdf:Seq></xmpMM:History>" % SHORT), [OLD]),
        (_packet(b"<xmpMM:History>\n<rdf:Seq>\n%b%b\n</rdf:Seq>\n</xmpMM:History>" % (LONG, SHORT)), [OLD, OLD]),
        (_packet(b"<xmpMM:History><rdf:Seq>%b</rdf:Seq></xmpMM:History>" % SHORT).replace(b"xmpMM", b"mm"), [OLD]),
        (_packet(b"<xmpMM:Versions><rdf:Seq></rdf:Seq></xmpMM:Versions>"), []),
    ],
)
def test_an_entry_is_added_at_the_end(packet: bytes | None, before: list[Event]) -> None:
    changed = add_event(packet, NEW)
    assert events(packet) == before
    assert events(changed) == [*before, NEW]
    assert events(add_event(changed, OLD)) == [*before, NEW, OLD]
    if packet is not None and changed is not None:
        assert all(part in changed for part in (b'a:b="c"',) if part in packet)


def test_a_new_description_is_about_the_same_thing() -> None:
    changed = add_event(_packet(b"", b"uuid:1&amp;2"), NEW)
    assert changed is not None
    assert changed.count(b'rdf:about="uuid:1&amp;2"') == 2


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"no xml",
        b"<rdf:RDF",
        _packet(b"").decode().encode("utf-16"),
        _packet(b"<xmpMM:History><rdf:Bag>%b</rdf:Bag></xmpMM:History>" % SHORT),
    ],
)
def test_a_packet_that_cannot_take_an_entry_takes_none(packet: bytes) -> None:
    assert add_event(packet, NEW) is None


def test_padding_makes_room() -> None:
    packet = _packet(b"") + b" " * 3000 + b'\n<?xpacket end="w"?>'
    changed = add_event(packet, NEW)
    assert changed is not None
    assert len(changed) == len(packet)
    assert changed.endswith(b'\n<?xpacket end="w"?>')


def test_a_packet_that_fitted_into_a_jpeg_still_does() -> None:
    full = _packet(b"<!--%b-->" % (b"x" * (MOST_BYTES - len(_packet(b"<!---->")))))
    assert len(full) == MOST_BYTES
    assert add_event(full, NEW) is None
    assert add_event(full + b" ", NEW) is not None, "longer packets are not kept by a JPEG anyway"
