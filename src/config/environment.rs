//! Which variables of the environment mean something.
//!
//! Invariant: a variable that begins as ours do and that nothing reads is refused, because a setting that does not count
//! looks just like one that does. What others set under our name is left alone: orchestrators and builds do.

use super::KEYS;
use crate::base::error::{Error, Result};

const PREFIX: &str = "RESOFTAI_";

/// What the commands read, besides the settings. A test of `cli::config` holds the list to the commands.
pub const OF_COMMANDS: [&str; 6] = [
    "RESOFTAI_DATA_DIR",
    "RESOFTAI_SERVER",
    "RESOFTAI_FINGERPRINT",
    "RESOFTAI_CA_FILE",
    "RESOFTAI_LOGIN_FILE",
    "RESOFTAI_TOKEN",
];

/// Refuses the first variable of ours that nothing reads.
///
/// # Errors
/// `unknown_setting` with the nearest name there is.
pub fn check(environment: &[(String, String)]) -> Result<()> {
    let known: Vec<String> =
        KEYS.iter().flat_map(super::Setting::variables).chain(OF_COMMANDS.map(str::to_owned)).collect();
    let unknown = environment
        .iter()
        .find(|(name, value)| name.starts_with(PREFIX) && !known.contains(name) && !is_of_others(name, value));
    let Some((name, _)) = unknown else { return Ok(()) };
    let likeness =
        |known: &str| strsim::jaro_winkler(known.trim_start_matches(PREFIX), name.trim_start_matches(PREFIX));
    let nearest = known
        .iter()
        .filter(|known| known.starts_with(PREFIX))
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .map_or("", String::as_str);
    let message = format!(
        "Nothing reads the environment variable {name}. Did you mean {nearest}? Else unset it; `resoftai config reference` \
         lists all there are."
    );
    Err(Error::invalid("unknown_setting", message).field(name))
}

/// Tests, the build (cargo hands its variables on to what it runs), and Kubernetes, which tells every container where each
/// service is: for one named `resoftai` under names that begin as ours do.
fn is_of_others(name: &str, value: &str) -> bool {
    let ends_as = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    name.starts_with("RESOFTAI_TEST_")
        || name == "RESOFTAI_PARTS"
        || name.starts_with("RESOFTAI_PART_")
        || ends_as(&["_SERVICE_HOST", "_SERVICE_PORT"])
        || name.contains("_SERVICE_PORT_")
        || name.contains("_PORT_") && ends_as(&["_PROTO", "_PORT", "_ADDR", "_TCP", "_UDP", "_SCTP"])
        || name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn look(name: &str, value: &str) -> Result<()> {
        check(&[("PATH".to_owned(), "/bin".to_owned()), (name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_slip_is_refused_with_the_nearest_name() {
        for (slip, nearest) in [
            ("RESOFTAI_SERVER_LISEN", "RESOFTAI_SERVER_LISTEN"),
            ("RESOFTAI_SERVER_PORT", "RESOFTAI_SERVER"),
            ("RESOFTAI_DATABSE_URL", "RESOFTAI_DATABASE_URL"),
            ("RESOFTAI_TOKN", "RESOFTAI_TOKEN"),
        ] {
            let error = look(slip, "8443").unwrap_err();
            assert_eq!((error.code(), error.field_name()), ("unknown_setting", Some(slip)));
            assert!(error.message().contains(&format!("Did you mean {nearest}")), "{error}");
        }
    }

    #[test]
    fn what_commands_orchestrators_and_tests_set_is_left_alone() {
        for (name, value) in [
            ("RESOFTAI_TOKEN", "x"),
            ("RESOFTAI_LOG_LEVEL", "info"),
            ("RESOFTAI_TEST_POSTGRES_URL", "x"),
            ("RESOFTAI_PART_ENGINE", "x"),
            ("RESOFTAI_SERVICE_HOST", "10.0.0.1"),
            ("RESOFTAI_SERVICE_PORT_HTTPS", "8443"),
            ("RESOFTAI_PORT", "tcp://10.0.0.1:8443"),
            ("RESOFTAI_PORT_8443_TCP", "tcp://10.0.0.1:8443"),
            ("RESOFTAI_PORT_8443_TCP_ADDR", "10.0.0.1"),
            ("DATABASE_URL", "x"),
        ] {
            look(name, value).unwrap();
        }
    }
}
