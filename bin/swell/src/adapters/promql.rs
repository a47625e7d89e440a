//! Queries for those who know neither the engine nor PromQL's evaluation: the rules.

use std::sync::Arc;

use swell_alert_runner::{InstantSample, InstantValue, RuleEvaluator};
use swell_model::{DurationMs, TimestampMs};
use swell_promql::{Budget, EvalParams, Features, QueryValue, Watched, evaluate};
use swell_promql_syntax::Expr;
use swell_telemetry::chain;
use swell_tsdb_http::{ActiveQueries, Origin};

use super::standing::StandingQueries;

/// Evaluates rules on the storage.
pub(crate) struct PromqlEvaluator {
    pub(crate) queries: StandingQueries,
    pub(crate) lookback: DurationMs,
    /// Step of subqueries that name none; a reload may change it.
    pub(crate) subquery_step: Box<dyn Fn() -> DurationMs + Send + Sync>,
    pub(crate) samples_max: usize,
    pub(crate) series_max: Option<usize>,
    pub(crate) bytes_max: Option<usize>,
    /// Experimental parts of the language that are on.
    pub(crate) features: Features,
    /// Where queries are noted while they run.
    pub(crate) active: Arc<ActiveQueries>,
}

impl RuleEvaluator for PromqlEvaluator {
    fn instant(&self, expr: &Expr, at: TimestampMs) -> Result<InstantValue, String> {
        let params = EvalParams {
            lookback: self.lookback,
            subquery_step: (self.subquery_step)(),
            features: self.features,
            ..EvalParams::instant(at)
        };
        let budget = Budget {
            series_max: self.series_max,
            bytes_max: self.bytes_max,
            ..Budget::new(self.samples_max, Budget::STEPS_MAX_DEFAULT)
        };
        let _noted = self.active.begin(&expr.to_string(), Origin::Rule);
        // Who acts on an answer needs all of it: a rule whose samples are damaged or missing keeps its state and says so.
        let reader = Arc::new(self.queries.at(at));
        let source = Watched::strict(reader.clone());
        let output = evaluate(expr, &source, &params, &budget).map_err(|error| chain(&error))?;
        self.queries.count(&reader);
        let missing = source.warnings_of_reads();
        if !missing.is_empty() {
            return Err(format!("not evaluated, since {}", missing.join("; ")));
        }
        match output.value {
            QueryValue::Scalar(point) => Ok(InstantValue::Scalar(point.value)),
            QueryValue::Vector(samples) => Ok(InstantValue::Vector(
                samples
                    .into_iter()
                    .map(|sample| InstantSample { labels: sample.labels, value: sample.value })
                    .collect(),
            )),
            QueryValue::String(..) | QueryValue::Matrix(_) => {
                Err("a rule's expression must give a scalar or an instant vector".to_owned())
            }
        }
    }
}
