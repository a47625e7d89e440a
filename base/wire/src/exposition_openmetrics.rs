//! `OpenMetrics` 1.0.0, written: its samples are lines as the text format has them ([`crate::write_sample_of`]), its
//! families are named and described in other words.

use std::fmt::{self, Write};

use swell_model::MetricKind;

use crate::exposition_text::{write_escaped, write_name};

/// The last line of a body, without which it counts as cut off.
pub const OPENMETRICS_END: &str = "# EOF\n";

/// Writes what a family is. `family` is the name without the suffix that samples of its kind have: of a counter without
/// `_total`.
///
/// # Errors
/// Only those of `out`.
pub fn write_openmetrics_family(
    out: &mut impl Write,
    family: &str,
    kind: MetricKind,
    help: &str,
) -> fmt::Result {
    out.write_str("# HELP ")?;
    write_name(out, family)?;
    out.write_char(' ')?;
    // Other than in the text format, quotes are escaped as well.
    write_escaped(out, help, true)?;
    out.write_str("\n# TYPE ")?;
    write_name(out, family)?;
    writeln!(out, " {}", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_described_in_its_words() {
        let mut text = String::new();
        write_openmetrics_family(&mut text, "a_b", MetricKind::Unknown, "Says \"x\\y\"\nand more.")
            .expect("written");
        assert_eq!(text, "# HELP a_b Says \\\"x\\\\y\\\"\\nand more.\n# TYPE a_b unknown\n");
    }
}
