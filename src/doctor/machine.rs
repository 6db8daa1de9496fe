//! The machine: its kernel, its random numbers, how many files the server may have open.
//!
//! Invariant: what the kernel does not tell is said, not guessed.

use rustix::process::{Resource, getrlimit};

use super::{Check, text_of};

/// The oldest kernel that the product is for (docs/operator/install.md).
const OLDEST: (u32, u32) = (4, 18);
/// Half of the files are for connections, of which the server serves 4096.
const FILES: u64 = 8192;
/// Bits that random numbers are made from when the kernel is ready; since Linux 5.18 it always says 256.
const READY: u64 = 128;

/// `server` is the server's process, when it is known.
pub(super) fn checks(server: Option<i32>) -> Vec<Check> {
    vec![kernel(), entropy(), open_files(server)]
}

fn kernel() -> Check {
    const CODE: &str = "kernel";
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = OLDEST;
    if version < OLDEST {
        let seen = format!("The kernel is Linux {release}, older than {major}.{minor}.");
        return Check::fail(CODE, seen, "Bring the system up to date, and start the machine again.");
    }
    Check::pass(CODE, format!("The kernel is Linux {release} on {}.", name.machine().to_string_lossy()))
}

fn entropy() -> Check {
    const CODE: &str = "entropy";
    let bits = text_of("/proc/sys/kernel/random/entropy_avail").and_then(|text| text.trim().parse::<u64>().ok());
    match bits {
        Some(bits) if bits < READY => {
            let mend = "Give the machine a source: apt-get install rng-tools5, or a virtio-rng device of its host.";
            Check::warn(CODE, format!("The kernel has {bits} bits for random numbers; keys may be waited for."), mend)
        }
        Some(bits) => Check::pass(CODE, format!("The kernel has {bits} bits for random numbers.")),
        None => Check::pass(
            CODE,
            "The kernel does not tell what its random numbers are made from (/proc is not all there).",
        ),
    }
}

fn open_files(server: Option<i32>) -> Check {
    const CODE: &str = "open_files";
    let of_server = server.and_then(|id| hard_limit(&text_of(&format!("/proc/{id}/limits"))?));
    let (limit, whose) = match of_server {
        Some(limit) => (limit, "The server"),
        // A server lifts the soft limit to the hard one.
        None => (getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX), "A server started from here"),
    };
    if limit < FILES {
        let seen =
            format!("{whose} may have {limit} files open, so it serves at most {} connections at once.", limit / 2);
        return Check::warn(CODE, seen, format!("systemctl edit resoftai: [Service], LimitNOFILE={}", FILES * 8));
    }
    let limit = if limit == u64::MAX { "any number of".to_owned() } else { limit.to_string() };
    Check::pass(CODE, format!("{whose} may have {limit} files open."))
}

/// Of `/proc/PID/limits`: `Max open files  1024  524288  files`.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_whitespace().nth(1)?;
    if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(hard_limit(limits), Some(524_288));
        assert_eq!(
            hard_limit("Max open files            1024                 unlimited            files"),
            Some(u64::MAX)
        );
        assert_eq!(hard_limit("nothing of the kind"), None);
    }
}
