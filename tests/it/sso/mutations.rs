//! Answers that were tampered with, made from a good one of pysaml2.

/// The text between the first `from` and the `to` after it, both with it.
fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap();
    &text[start..start + text[start..].find(to).unwrap() + to.len()]
}

pub(super) type Mutation = (&'static str, fn(&str) -> String);

/// XML signature wrapping in its eight classic shapes (Somorovsky et al., On Breaking SAML, 2012), and other tampering.
pub(super) fn mutations() -> Vec<Mutation> {
    fn assertion(xml: &str) -> &str {
        part(xml, "<ns1:Assertion ", "</ns1:Assertion>")
    }
    fn signature(xml: &str) -> &str {
        part(xml, "<ns2:Signature ", "</ns2:Signature>")
    }
    /// An assertion of the attacker's: without a signature, with another id, about somebody else.
    fn evil(xml: &str) -> String {
        let own = assertion(xml);
        let id = part(own, " ID=\"", "\" ");
        own.replace(signature(own), "").replace(id, " ID=\"evil\" ").replace("alice-7", "root-1")
    }
    vec![
        ("another NameID", |xml| xml.replace("alice-7", "root-1")),
        ("a later end", |xml| xml.replace("NotOnOrAfter=\"2", "NotOnOrAfter=\"3")),
        ("no signature", |xml| xml.replace(signature(xml), "")),
        ("an empty signature", |xml| {
            xml.replace(
                part(xml, "<ns2:SignatureValue>", "</ns2:SignatureValue>"),
                "<ns2:SignatureValue></ns2:SignatureValue>",
            )
        }),
        ("an empty reference", |xml| xml.replace(part(xml, "<ns2:Reference URI=\"#", "\""), "<ns2:Reference URI=\"\"")),
        ("a shared secret", |xml| xml.replace("xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256")),
        ("XSW1, response signed", |xml| {
            let copy = part(xml, "<ns0:Response ", "</ns0:Response>").to_owned();
            let outer = copy.replacen(" ID=\"", " ID=\"evil-", 1).replace("alice-7", "root-1");
            let sign = signature(&outer).to_owned();
            outer.replacen(
                &sign,
                &sign.replace("</ns2:Signature>", &format!("<ns2:Object>{copy}</ns2:Object></ns2:Signature>")),
                1,
            )
        }),
        ("XSW2, response signed", |xml| {
            let copy = part(xml, "<ns0:Response ", "</ns0:Response>").to_owned();
            let sign = signature(&copy).to_owned();
            let outer = copy.replacen(" ID=\"", " ID=\"evil-", 1).replace("alice-7", "root-1");
            outer.replacen(&sign, &format!("<ns2:Object>{copy}</ns2:Object>{sign}"), 1)
        }),
        ("XSW3", |xml| xml.replace(assertion(xml), &format!("{}{}", evil(xml), assertion(xml)))),
        ("XSW3 behind", |xml| xml.replace(assertion(xml), &format!("{}{}", assertion(xml), evil(xml)))),
        ("XSW4", |xml| {
            let around = evil(xml).replace("</ns1:Assertion>", &format!("{}</ns1:Assertion>", assertion(xml)));
            xml.replace(assertion(xml), &around)
        }),
        ("XSW5", |xml| {
            let own = assertion(xml);
            let changed = own.replacen(part(own, " ID=\"", "\" "), " ID=\"evil\" ", 1).replace("alice-7", "root-1");
            let bare = own.replace(signature(own), "");
            xml.replace(own, &format!("{changed}{bare}"))
        }),
        ("XSW6", |xml| {
            let own = assertion(xml);
            let (sign, bare) = (signature(own), own.replace(signature(own), ""));
            let changed = own.replacen(part(own, " ID=\"", "\" "), " ID=\"evil\" ", 1).replace("alice-7", "root-1");
            let holding = sign.replace("</ns2:Signature>", &format!("{bare}</ns2:Signature>"));
            xml.replace(own, &changed.replace(sign, &holding))
        }),
        ("XSW7", |xml| {
            let signed = format!("<ns0:Extensions>{}</ns0:Extensions><ns0:Status>", assertion(xml));
            xml.replace(assertion(xml), &evil(xml)).replace("<ns0:Status>", &signed)
        }),
        ("XSW8", |xml| {
            let own = assertion(xml);
            let (sign, bare) = (signature(own), own.replace(signature(own), ""));
            let changed = own.replacen(part(own, " ID=\"", "\" "), " ID=\"evil\" ", 1).replace("alice-7", "root-1");
            let holding = sign.replace("</ns2:Signature>", &format!("<ns2:Object>{bare}</ns2:Object></ns2:Signature>"));
            xml.replace(own, &changed.replace(sign, &holding))
        }),
        ("two of one id", |xml| {
            let twin = assertion(xml).replace(signature(xml), "").replace("alice-7", "root-1");
            xml.replace(assertion(xml), &format!("{twin}{}", assertion(xml)))
        }),
        ("a document type", |xml| {
            let body = part(xml, "<ns0:Response ", "</ns0:Response>");
            format!("<!DOCTYPE r [<!ENTITY e \"root-1\">]>{}", body.replace("alice-7", "&e;"))
        }),
        ("a harmless document type", |xml| format!("<!DOCTYPE r>{}", part(xml, "<ns0:Response ", "</ns0:Response>"))),
        ("a failure", |xml| xml.replace("status:Success", "status:Responder")),
        ("no XML", |_| "hello".to_owned()),
        ("nothing", |_| String::new()),
    ]
}
