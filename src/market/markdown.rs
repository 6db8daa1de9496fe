//! Texts of packages as HTML that can be shown.
//!
//! Invariant: whatever the Markdown says (CommonMark with tables), what comes out has neither scripts nor styles nor frames
//! nor pictures, and its links go to the web, open elsewhere and tell nobody where they were followed.

use std::collections::HashSet;

use pulldown_cmark::{Options, Parser, html};

/// Longer texts are cut, in bytes.
const LONGEST: usize = 256 << 10;

pub fn to_html(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let mut made = String::new();
    html::push_html(&mut made, Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH));
    ammonia::Builder::default()
        .rm_tags(["img", "map", "area"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .clean(&made)
        .to_string()
}
