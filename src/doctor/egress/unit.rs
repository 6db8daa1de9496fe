//! What systemd keeps the service to, so that a fault in the program does not open another way out.
//!
//! Invariant: asked of systemd as it runs the unit, with the site's own changes to it, not of the unit's file.

use std::collections::HashMap;

use super::Check;
use crate::doctor::{process, service};

const CODE: &str = "unit";
/// Addresses that the service may have sockets for: no raw packets, no netlink, no Bluetooth.
const FAMILIES: [&str; 3] = ["AF_INET", "AF_INET6", "AF_UNIX"];
/// Properties of the unit that have to be so.
const WANTED: [(&str, &str); 4] = [
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("RestrictNamespaces", "yes"),
];
const MEND: &str =
    "Take out of `systemctl cat resoftai` what loosens it, then: systemctl daemon-reload; systemctl restart resoftai";

pub(super) async fn check() -> Check {
    if !service::has_systemd() {
        return Check::pass(CODE, "systemd does not run here: what keeps the program in is its own gate alone.");
    }
    let properties = "LoadState,RestrictAddressFamilies,IPAddressAllow,IPAddressDeny,NoNewPrivileges,CapabilityBoundingSet,\
                      AmbientCapabilities,RestrictNamespaces";
    let arguments = ["show", "resoftai.service", "--no-pager", "--property", properties];
    match process::run("systemctl", &arguments, 1 << 16).await.filter(|said| said.succeeded) {
        Some(said) => judge(&service::read(&said.text)),
        None => {
            Check::warn(CODE, "systemctl did not tell what it keeps the service to.", "systemctl show resoftai.service")
        }
    }
}

fn judge(unit: &HashMap<&str, &str>) -> Check {
    let of = |name: &str| unit.get(name).copied().unwrap_or_default();
    if of("LoadState") != "loaded" {
        return Check::pass(CODE, "The unit is not installed here: what keeps the program in is its own gate alone.");
    }
    let families: Vec<&str> = of("RestrictAddressFamilies").split_whitespace().collect();
    let strange = families.iter().find(|family| !FAMILIES.contains(family));
    if families.is_empty() || strange.is_some() {
        let seen =
            format!("RestrictAddressFamilies is `{}`, not {}.", of("RestrictAddressFamilies"), FAMILIES.join(" "));
        return Check::fail(CODE, seen, MEND);
    }
    if let Some((name, value)) = WANTED.iter().find(|(name, value)| of(name) != *value) {
        return Check::fail(CODE, format!("{name} is `{}`, not `{value}`.", of(name)), MEND);
    }
    let network = match (of("IPAddressDeny"), of("IPAddressAllow")) {
        ("", _) => "the kernel lets it reach any address (IPAddressDeny is not set)".to_owned(),
        (deny, allow) => format!("the kernel denies it {deny} but for {allow}"),
    };
    Check::pass(CODE, format!("systemd keeps the service to {}, without capabilities; {network}.", families.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// As systemd 252 answers for the unit of the packages.
    const GOOD: &str = "LoadState=loaded\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nIPAddressAllow=\nIPAddressDeny=\n\
                        NoNewPrivileges=yes\nCapabilityBoundingSet=\nAmbientCapabilities=\nRestrictNamespaces=yes\n";

    #[test]
    fn a_unit_that_was_loosened_proves_nothing() {
        for (from, to, level) in [
            ("IPAddressDeny=", "IPAddressDeny=0.0.0.0/0 ::/0", Level::Pass),
            ("AF_INET6", "AF_INET6 AF_PACKET", Level::Fail),
            ("AF_UNIX AF_INET AF_INET6", "", Level::Fail),
            ("CapabilityBoundingSet=", "CapabilityBoundingSet=cap_net_raw", Level::Fail),
            ("NoNewPrivileges=yes", "NoNewPrivileges=no", Level::Fail),
        ] {
            let text = GOOD.replace(from, to);
            let check = judge(&service::read(&text));
            assert_eq!(check.level, level, "{to}: {}", check.seen);
        }
    }
}
