"""Envelopes: a call out of the XML that came, answers and faults into XML."""

from __future__ import annotations

from typing import Any

from lxml import etree
from octostream.tests.icat_server.bean import TNS, XSI, Bean, escaped, read_bean, write_bean
from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault
from octostream.tests.icat_server.values import Value, write, xs_type
from octostream.tests.icat_server.wsdl import OPERATIONS

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_XS = "http://www.w3.org/2001/XMLSchema"
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?><S:Envelope xmlns:S="{_ENVELOPE}"><S:Body>'
_TAIL = "</S:Body></S:Envelope>"


def read_call(body: bytes) -> tuple[str, dict[str, Any]]:
    """Give the operation and its arguments: texts, beans, lists of beans, and credentials as a dictionary.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: no SOAP, no operation of this service, or a bean that cannot be read.
    """
    try:
        # Nothing outside the message is fetched for it, and no entity is expanded.
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        call = etree.fromstring(body, parser).find(f"{{{_ENVELOPE}}}Body")[0]
    except (etree.XMLSyntaxError, TypeError, IndexError) as error:
        raise IcatFault(BAD_PARAMETER, f"This is no SOAP call: {error}") from None
    name = etree.QName(call)
    if name.namespace != TNS or name.localname not in OPERATIONS:
        raise IcatFault(BAD_PARAMETER, f"Cannot find dispatch method for {call.tag}")
    arguments: dict[str, Any] = {}
    for argument, kind in OPERATIONS[name.localname][0]:
        given = call.findall(argument)
        if kind.endswith("*"):
            arguments[argument] = [read_bean(element) for element in given]
        elif not given:
            arguments[argument] = None
        elif kind == "tns:entityBaseBean":
            arguments[argument] = read_bean(given[0])
        elif kind:
            arguments[argument] = given[0].text or ""
        else:
            entries = [(entry.findtext("key"), entry.findtext("value")) for entry in given[0].findall("entry")]
            arguments[argument] = {key or "": value or "" for key, value in entries}
    return name.localname, arguments


def value(tag: str, thing: Value, kind: str, typed: bool = False) -> str:
    """Give one value as an element; ``typed`` where the place does not say its type."""
    if thing is None:
        return f'<{tag} xsi:nil="true"/>'
    mark = f' xsi:type="{xs_type(kind)}"' if typed else ""
    return f"<{tag}{mark}>{escaped(write(thing, kind))}</{tag}>"


def found(tag: str, thing: Bean | Value, kind: str) -> str:
    """Give one thing that a search found, with its type."""
    return write_bean(thing, tag, typed=True) if isinstance(thing, Bean) else value(tag, thing, kind, typed=True)


def answer(operation: str, content: str) -> bytes:
    """Wrap the content of an answer."""
    name = f'ns2:{operation}Response xmlns:ns2="{TNS}" xmlns:tns="{TNS}" xmlns:xsi="{XSI}" xmlns:xs="{_XS}"'
    return f"{_HEAD}<{name}>{content}</ns2:{operation}Response>{_TAIL}".encode()


def fault(error: IcatFault) -> bytes:
    """Wrap an exception."""
    message = escaped(error.message)
    detail = f"<message>{message}</message><offset>{error.offset}</offset><type>{error.kind}</type>"
    return (
        f"{_HEAD}<S:Fault><faultcode>S:Server</faultcode><faultstring>{message}</faultstring><detail>"
        f'<ns2:IcatException xmlns:ns2="{TNS}">{detail}</ns2:IcatException></detail></S:Fault>{_TAIL}'
    ).encode()
