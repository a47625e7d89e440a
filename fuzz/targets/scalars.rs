//! Any text as a duration, a quantity, a regular expression: a value or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_model::{DurationMs, MatchOp, Matcher, Quantity};

fuzz_target!(|text: &str| {
    if let Ok(span) = DurationMs::parse_prometheus(text) {
        let printed = span.to_string();
        assert_eq!(DurationMs::parse_prometheus(&printed), Ok(span), "{printed}");
    }
    if let Ok(quantity) = Quantity::parse(text) {
        assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
    }
    if let Ok(matcher) = Matcher::new("a", MatchOp::Regex, text) {
        let negated = Matcher::new("a", MatchOp::NotRegex, text).expect("the same pattern");
        assert_ne!(matcher.matches(text), negated.matches(text));
    }
});
