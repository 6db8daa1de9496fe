//! "Did you mean": the nearest known name to one that is not known.

use serde_json::Value;

use crate::cli::failure::{Exit, Failure};

/// The known name nearest to `given`, when one is near enough to be a slip of the keys.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// "There is no `what` `given`", with the nearest of `items` by their `field`.
pub fn not_found(what: &str, given: &str, items: &[Value], field: &str) -> Failure {
    let detail = format!("There is no {what} \"{given}\" here that you may see.");
    let failure = Failure::new(Exit::NotFound, "not_found", detail);
    match nearest(given, items.iter().filter_map(|item| item[field].as_str())) {
        Some(name) => failure.and(&format!("Did you mean \"{name}\"?")),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["security-scanner", "style-check", "acme"];
        assert_eq!(nearest("securty-scaner", known), Some("security-scanner"));
        assert_eq!(nearest("ACME", known), Some("acme"));
        assert_eq!(nearest("xylophone", known), None);
    }

    #[test]
    fn the_sentence_names_the_nearest() {
        let items = [json!({"slug": "acme"}), json!({"slug": "globex"})];
        let failure = not_found("organisation", "acmee", &items, "slug");
        assert_eq!(failure.exit(), Exit::NotFound);
        assert!(failure.detail().ends_with("Did you mean \"acme\"?"), "{}", failure.detail());
    }
}
