//! One query evaluated in every way there is: in one piece and in parts, by a storage that only selects and by one that
//! groups. All answers are the same, to the last bit.

use std::sync::Arc;

use swell_model::{
    LabelsIter, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange,
};
use swell_promql_syntax::Expr;

use crate::error::EvalError;
use crate::eval::evaluate;
use crate::params::{Budget, EvalParams, Features};
use crate::value::QueryOutput;
use crate::workers::Workers;

/// Cuts work into so many pieces and does the last one first.
#[derive(Debug)]
struct Backwards(usize);

impl Workers for Backwards {
    fn width(&self) -> usize {
        self.0
    }

    fn series_min(&self) -> usize {
        1
    }

    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).rev().for_each(work);
    }
}

/// A source without its quicker ways.
struct Plain<'a>(&'a dyn SeriesSource);

impl SeriesSource for Plain<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        self.0.select(matchers, hints)
    }

    fn label_names(&self, of: &[Matcher], range: TimeRange) -> Result<LabelsIter, SelectError> {
        self.0.label_names(of, range)
    }

    fn label_values(
        &self,
        name: &str,
        of: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.0.label_values(name, of, range)
    }
}

type Answer = Result<QueryOutput, EvalError>;

/// Evaluates, and fails when the answer depends on the way.
pub(super) fn evaluate_in_all_ways(
    expr: &Expr,
    source: &dyn SeriesSource,
    params: &EvalParams,
    samples_max: usize,
) -> Answer {
    let answer = |source: &dyn SeriesSource, params: &EvalParams, width: usize| {
        let budget =
            Budget { workers: Arc::new(Backwards(width)), ..Budget::new(samples_max, usize::MAX) };
        evaluate(expr, source, params, &budget)
    };
    let result = answer(source, params, 1);
    // Where names go at once, series are also evaluated one by one.
    let features = Features { delayed_name_removal: false, ..params.features };
    let counting = EvalParams { counts_steps: true, ..*params };
    for params in [counting, EvalParams { features, ..counting }] {
        let params = &params;
        let expected = answer(&Plain(source), params, 1);
        for (source, width) in [(source, 1), (source, 2), (source, 8), (&Plain(source), 8)] {
            let got = answer(source, params, width);
            if !is_same(&expected, &got) {
                let message = format!("not as in one piece: {got:?} in {width}: {expected:?}");
                return Err(EvalError::Query { message, span: None });
            }
        }
    }
    result
}

/// As text, since a NaN is not equal to itself. What was held on the way differs, and what does not fit in one way may
/// fit in another.
fn is_same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Err(EvalError::TooManySamples { .. }), _) => true,
        (Err(one), Err(other)) => one.to_string() == other.to_string(),
        (Ok(one), Ok(other)) => {
            let text = |it: &QueryOutput| {
                let looked_at = (it.stats.samples_total, &it.stats.samples_by_step);
                let read = it.stats.series_selected;
                format!("{:?} {:?} {:?} {looked_at:?} {read}", it.value, it.warnings, it.infos)
            };
            text(one) == text(other)
        }
        _ => false,
    }
}
