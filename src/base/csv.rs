//! Tables for spreadsheets: RFC 4180, UTF-8.
//!
//! Invariant: a text that went through [`text`] is no formula to a spreadsheet (OWASP, CSV injection), whoever wrote it.

use std::borrow::Cow;
use std::io;

/// Signs that begin a formula, also as wide characters, and what a spreadsheet skips before one.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Bytes that a line seldom exceeds.
const USUAL: usize = 512;

/// The text as a cell: what begins like a formula gets an apostrophe before it.
pub fn text<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if text.starts_with(FORMULA) { format!("'{text}").into() } else { text }
}

/// Lines of cells, all rows of one length, with CRLF after each.
///
/// # Errors
/// When the rows differ in length.
pub fn lines<R>(rows: impl IntoIterator<Item = R>) -> io::Result<Vec<u8>>
where
    R: IntoIterator<Item: AsRef<str>>,
{
    let rows = rows.into_iter();
    let room = Vec::with_capacity(rows.size_hint().0 * USUAL);
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(room);
    for row in rows {
        for cell in row {
            writer.write_field(cell.as_ref())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|cause| io::Error::other(cause.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn no_cell_is_taken_for_a_formula_and_every_cell_reads_back() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "=a,\"b\"\r\nc"] {
            let written = super::lines([[super::text(text), super::text(text)]]).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
            let row = reader.records().next().unwrap().unwrap();
            assert_eq!(row.len(), 2);
            assert!(row.iter().all(|cell| cell == format!("'{text}")), "{row:?}");
        }
        for text in ["", "plain", "a=b", "{\"a\":1}", "'quoted'", "1-2"] {
            assert_eq!(super::text(text), text);
        }
    }
}
