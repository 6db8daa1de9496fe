"""A SAML 2.0 identity provider for the tests: Debian's python3-pysaml2, which signs with xmlsec1.

    idp.py FOLDER

FOLDER holds key.pem and cert.pem. It says its metadata, as Base64, and then, for each line of stdin, the Base64 of a Response.
A line is JSON: {"sp": our metadata, "location": where the browser was sent, "name_id",
"identity"}, and what is to be otherwise than it should: "acs", "request", "audience", "format", "sign_assertion",
"sign_response", "sha1", "encrypt".
"""

import base64
import functools
import json
import pathlib
import sys
import tempfile
import urllib.parse
import zlib

import saml2.entity
import saml2.sigver
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, xmldsig
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NAME_FORMAT_URI, NameID
from saml2.samlp import authn_request_from_string
from saml2.server import Server

ENTITY = "https://idp.example/metadata"


# It encrypts with 3DES unless it is told otherwise, and has no setting for that.
saml2.entity.pre_encryption_part = functools.partial(
    saml2.sigver.pre_encryption_part, msg_enc="http://www.w3.org/2009/xmlenc11#aes128-gcm"
)
saml2.sigver.SecurityContext.encrypt_assertion = functools.partialmethod(
    saml2.sigver.SecurityContext.encrypt_assertion, key_type="aes-128"
)


def settings(folder: pathlib.Path, sp: str | None) -> IdPConfig:
    config = {
        "entityid": ENTITY,
        "key_file": str(folder / "key.pem"),
        "cert_file": str(folder / "cert.pem"),
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "service": {
            "idp": {
                "endpoints": {"single_sign_on_service": [("https://idp.example/sso", BINDING_HTTP_REDIRECT)]},
                "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_URI}},
                "want_authn_requests_signed": True,
            }
        },
    }
    if sp is not None:
        file = tempfile.NamedTemporaryFile("w", suffix=".xml", delete=False, dir=folder)
        file.write(sp)
        file.close()
        config["metadata"] = {"local": [file.name]}
    return IdPConfig().load(config)


def say(text: str) -> None:
    print(base64.b64encode(text.encode()).decode(), flush=True)


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    say(entity_descriptor(settings(folder, None)).to_string().decode())
    for line in sys.stdin:
        say(answer(folder, json.loads(line)))


def answer(folder: pathlib.Path, asked: dict) -> str:
    server = Server(config=settings(folder, asked["sp"]))
    query = urllib.parse.parse_qs(urllib.parse.urlparse(asked["location"]).query)
    request = authn_request_from_string(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15))
    sha1 = asked.get("sha1", False)
    return str(server.create_authn_response(
        identity=asked["identity"],
        in_response_to=asked.get("request", request.id),
        destination=asked.get("acs", request.assertion_consumer_service_url),
        sp_entity_id=asked.get("audience", request.issuer.text),
        name_id=NameID(format=asked.get("format", NAMEID_FORMAT_PERSISTENT), text=asked["name_id"]),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "authn_auth": ENTITY},
        sign_assertion=asked.get("sign_assertion", True),
        sign_response=asked.get("sign_response", False),
        encrypt_assertion=asked.get("encrypt", False),
        sign_alg=xmldsig.SIG_RSA_SHA1 if sha1 else xmldsig.SIG_RSA_SHA256,
        digest_alg=xmldsig.DIGEST_SHA1 if sha1 else xmldsig.DIGEST_SHA256,
    ))


main()
