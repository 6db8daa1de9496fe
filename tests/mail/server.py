"""A mail server for tests: takes mails on a loopback port and tells of each in a line of JSON.

The first line tells the port. Recipients decide how it goes: `later@..` is refused with 451 the first time, `gone@..` always
with 550; everything else is taken.
"""

import argparse
import asyncio
import collections
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def tell(**what):
    print(json.dumps(what), flush=True)


class Handler:
    def __init__(self, each):
        self.tries, self.mails, self.each = collections.Counter(), collections.Counter(), each

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.mails[session.peer] += 1
        if self.each and self.mails[session.peer] > self.each:
            return "452 4.5.3 Too many mails on this connection"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split("@")[0]
        self.tries[address] += 1
        if local == "gone":
            return "550 5.1.1 No such user here"
        if local == "later" and self.tries[address] == 1:
            return "451 4.7.1 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.original_content
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        tell(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            connection=session.peer[1],
            tls=session.ssl is not None,
            signed_in=bool(session.authenticated),
            headers=[[name, str(value)] for name, value in mail.items()],
            subject=str(mail["Subject"]),
            body=mail.get_content(),
            stray_breaks=raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\r\n"),
            defects=[str(defect) for defect in mail.defects],
        )
        return "250 2.0.0 Taken"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert", help="offer TLS with this certificate chain and key, in one file")
    parser.add_argument("--implicit", action="store_true", help="TLS from the first byte instead of STARTTLS")
    parser.add_argument("--utf8", action="store_true", help="take addresses beyond ASCII (SMTPUTF8)")
    parser.add_argument("--each", type=int, help="take so many mails a connection, and no more")
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()

    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert)

    def authenticate(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (
            options.user.encode(),
            options.password.encode(),
        )
        return AuthResult(success=known, handled=False)

    handler = Handler(options.each)
    settings = {"hostname": "mail.test", "enable_SMTPUTF8": options.utf8}
    if options.user:
        settings |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": context is not None and not options.implicit,
        }
    if context and not options.implicit:
        settings |= {"tls_context": context, "require_starttls": True}

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **settings),
        "127.0.0.1",
        options.port,
        ssl=context if options.implicit else None,
    )
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
