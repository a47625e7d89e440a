//! Any text: the parser answers, what it prints parses to the same tree, and evaluating it on no data ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_model::{
    LabelsIter, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange, TimestampMs,
};
use swell_promql::{Budget, EvalParams, evaluate};
use swell_promql_syntax::parse;

struct Nothing;

impl SeriesSource for Nothing {
    fn select<'a>(&'a self, _: &[Matcher], _: &SelectHints) -> Result<SeriesIter<'a>, SelectError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<LabelsIter, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: TimeRange) -> Result<LabelsIter, SelectError> {
        Ok(Vec::new())
    }
}

fuzz_target!(|text: &str| {
    let Ok(expr) = parse(text) else { return };
    let printed = expr.to_string();
    let again = parse(&printed).expect("what is printed parses");
    assert_eq!(printed, again.to_string());
    let budget = Budget::new(10_000, 100);
    // A fault of evaluation is an answer too.
    drop(evaluate(&expr, &Nothing, &EvalParams::instant(TimestampMs(1_000_000)), &budget));
});
