"""The service's description, made from the schema: WSDL 1.1, document/literal, and the XML schema that it imports."""

from __future__ import annotations

from functools import cache

from octostream.tests.icat_server.bean import TNS
from octostream.tests.icat_server.faults import TYPES
from octostream.tests.icat_server.schema import ATTRIBUTE, ENUMS, META, ONE, PARAMETER, SCHEMA, Entity
from octostream.tests.icat_server.values import xs_type

PATH = "/ICATService/ICAT"
ACCESS_TYPES = ("CREATE", "READ", "UPDATE", "DELETE")
_BEAN = "tns:entityBaseBean"
_SESSION = ("sessionId", "xs:string")
#: Operation: arguments (name, type, "*" where there may be many), and what it returns.
OPERATIONS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "create": ((_SESSION, ("bean", _BEAN)), "xs:long"),
    "createMany": ((_SESSION, ("beans", f"{_BEAN}*")), "xs:long*"),
    "delete": ((_SESSION, ("bean", _BEAN)), ""),
    "deleteMany": ((_SESSION, ("beans", f"{_BEAN}*")), ""),
    "get": ((_SESSION, ("query", "xs:string"), ("primaryKey", "xs:long")), _BEAN),
    "getApiVersion": ((), "xs:string"),
    "getAuthenticatorInfo": ((), "tns:authenticatorInfo*"),
    "getEntityInfo": ((("beanName", "xs:string"),), "tns:entityInfo"),
    "getEntityNames": ((), "xs:string*"),
    "getProperties": ((_SESSION,), "xs:string*"),
    "getRemainingMinutes": ((_SESSION,), "xs:double"),
    "getUserName": ((_SESSION,), "xs:string"),
    "getVersion": ((), "xs:string"),
    "isAccessAllowed": ((_SESSION, ("bean", _BEAN), ("accessType", "tns:accessType")), "xs:boolean"),
    "login": ((("plugin", "xs:string"), ("credentials", "")), "xs:string"),
    "logout": ((_SESSION,), ""),
    "refresh": ((_SESSION,), ""),
    "search": ((_SESSION, ("query", "xs:string")), "xs:anyType*"),
    "update": ((_SESSION, ("bean", _BEAN)), ""),
}
_CREDENTIALS = (
    '<xs:element name="credentials"><xs:complexType><xs:sequence>'
    '<xs:element name="entry" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>'
    '<xs:element name="key" type="xs:string" minOccurs="0"/><xs:element name="value" type="xs:string" minOccurs="0"/>'
    "</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>"
)
#: Types that are no entities: name, and (element, type) of what they hold.
_TYPES: dict[str, tuple[tuple[str, str], ...]] = {
    "entityInfo": (("classComment", "xs:string"), ("constraints", "tns:constraint*"), ("fields", "tns:entityField*")),
    "constraint": (("fieldNames", "xs:string*"),),
    "entityField": (
        ("comment", "xs:string"),
        ("name", "xs:string"),
        ("notNullable", "xs:boolean"),
        ("relType", "tns:relType"),
        ("stringLength", "xs:int"),
        ("type", "xs:string"),
    ),
    "authenticatorInfo": (
        ("admin", "xs:boolean"),
        ("friendly", "xs:string"),
        ("keys", "tns:authenticatorCredentialKey*"),
        ("mnemonic", "xs:string"),
    ),
    "authenticatorCredentialKey": (("hide", "xs:boolean"), ("name", "xs:string"), ("pattern", "xs:string")),
    "IcatException": (("message", "xs:string"), ("offset", "xs:int"), ("type", "tns:icatExceptionType")),
}


def _element(name: str, kind: str) -> str:
    many = ' maxOccurs="unbounded" nillable="true"' if kind.endswith("*") else ""
    return f'<xs:element name="{name}" type="{kind.rstrip("*")}" minOccurs="0"{many}/>'


def _complex(name: str, content: str, base: str = "", abstract: bool = False) -> str:
    content = f"<xs:sequence>{content}</xs:sequence>"
    if base:
        content = f'<xs:complexContent><xs:extension base="tns:{base}">{content}</xs:extension></xs:complexContent>'
    mark = ' abstract="true"' if abstract else ""
    return f'<xs:complexType name="{name}"{mark}>{content}</xs:complexType>'


def _enumeration(name: str, members: tuple[str, ...]) -> str:
    values = "".join(f'<xs:enumeration value="{member}"/>' for member in members)
    return f'<xs:simpleType name="{name}"><xs:restriction base="xs:string">{values}</xs:restriction></xs:simpleType>'


def _entity(entity: Entity) -> str:
    inherited = PARAMETER.fields if entity.is_parameter else {}
    parts = []
    for field in entity.fields.values():
        if field.name in ("id", *META) or (field.name in inherited and entity is not PARAMETER):
            continue
        if field.relation == ATTRIBUTE:
            parts.append(_element(field.name, xs_type(field.type)))
        else:
            other = f"tns:{SCHEMA[field.type].bean}"
            parts.append(_element(field.name, other if field.relation == ONE else f"{other}*"))
    return _complex(entity.bean, "".join(parts), "parameter" if inherited else "entityBaseBean")


def _base() -> str:
    meta = "".join(_element(f.name, xs_type(f.type)) for f in PARAMETER.fields.values() if f.name in ("id", *META))
    shared = [f for f in PARAMETER.fields.values() if f.name not in ("id", *META)]
    values = "".join(_element(f.name, "tns:parameterType" if f.relation == ONE else xs_type(f.type)) for f in shared)
    return _complex("entityBaseBean", meta, abstract=True) + _complex(
        "parameter", values, "entityBaseBean", abstract=True
    )


def _calls() -> str:
    parts = []
    for name, (arguments, result) in OPERATIONS.items():
        content = "".join(_element(n, kind) if kind else _CREDENTIALS for n, kind in arguments)
        answer = _element("return", result) if result else ""
        parts += [_complex(name, content), _complex(f"{name}Response", answer)]
        parts += [f'<xs:element name="{n}" type="tns:{n}"/>' for n in (name, f"{name}Response")]
    return "".join(parts)


@cache
def xsd() -> str:
    """Give the XML schema of all types and messages."""
    fields = '<xs:element name="fields" type="xs:anyType" minOccurs="0" maxOccurs="unbounded" nillable="true"/>'
    parts = [
        '<xs:element name="IcatException" type="tns:IcatException"/>',
        _calls(),
        _base(),
        *(_entity(entity) for entity in SCHEMA.values()),
        *(_complex(name, "".join(_element(n, kind) for n, kind in held)) for name, held in _TYPES.items()),
        _complex("fieldSet", fields),
        *(_enumeration(name[0].lower() + name[1:], members) for name, members in ENUMS.items()),
        _enumeration("accessType", ACCESS_TYPES),
        _enumeration("relType", ("ATTRIBUTE", "ONE", "MANY")),
        _enumeration("icatExceptionType", TYPES),
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:tns="{TNS}" targetNamespace="{TNS}" version="1.0">{"".join(parts)}</xs:schema>'
    )


@cache
def wsdl(base: str) -> str:
    """Give the WSDL of a service whose address begins with ``base`` (scheme and host)."""
    messages, ports, bindings = [], [], []
    body = '<soap:body use="literal"/>'
    for name in OPERATIONS:
        for message in (name, f"{name}Response"):
            part = f'<part name="parameters" element="tns:{message}"/>'
            messages.append(f'<message name="{message}">{part}</message>')
        fault = '<fault message="tns:IcatException" name="IcatException"/>'
        ports.append(
            f'<operation name="{name}"><input message="tns:{name}"/><output message="tns:{name}Response"/>'
            f"{fault}</operation>"
        )
        bindings.append(
            f'<operation name="{name}"><soap:operation soapAction=""/><input>{body}</input><output>{body}</output>'
            '<fault name="IcatException"><soap:fault name="IcatException" use="literal"/></fault></operation>'
        )
    messages.append('<message name="IcatException"><part name="fault" element="tns:IcatException"/></message>')
    location = f"{base}{PATH}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><definitions xmlns="http://schemas.xmlsoap.org/wsdl/" '
        'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:tns="{TNS}" targetNamespace="{TNS}" name="ICATService"><types><xsd:schema>'
        f'<xsd:import namespace="{TNS}" schemaLocation="{location}?xsd=1"/></xsd:schema></types>'
        f'{"".join(messages)}<portType name="ICAT">{"".join(ports)}</portType>'
        '<binding name="ICATPortBinding" type="tns:ICAT">'
        '<soap:binding transport="http://schemas.xmlsoap.org/soap/http" style="document"/>'
        f'{"".join(bindings)}</binding><service name="ICATService"><port name="ICATPort" '
        f'binding="tns:ICATPortBinding"><soap:address location="{location}"/></port></service></definitions>'
    )
