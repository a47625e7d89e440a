//! The functions' signatures.

use crate::ast::ValueType;
use ValueType::{Matrix, Scalar, Text, Vector};

/// A function's name and signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Types of the arguments; the last repeats when `variadic` allows more.
    pub args: &'static [ValueType],
    /// How many of the last argument may be given.
    pub variadic: Variadic,
    /// Type of the result.
    pub returns: ValueType,
    /// Whether it hides behind the switch for experimental functions.
    pub experimental: bool,
}

/// How many arguments may be given beyond the required ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    /// Exactly the listed ones.
    No,
    /// The last `n` listed types may be left out.
    Optional(usize),
    /// The last listed type may be left out, or given up to `n` times.
    Repeated(usize),
    /// The last listed type may be given any number of times, also not at all.
    Any,
}

impl Function {
    /// Least number of arguments.
    #[must_use]
    pub const fn args_min(&self) -> usize {
        match self.variadic {
            Variadic::No => self.args.len(),
            Variadic::Optional(count) => self.args.len() - count,
            Variadic::Repeated(_) | Variadic::Any => self.args.len() - 1,
        }
    }

    /// Greatest number of arguments, if there is one.
    #[must_use]
    pub const fn args_max(&self) -> Option<usize> {
        match self.variadic {
            Variadic::No | Variadic::Optional(_) => Some(self.args.len()),
            Variadic::Repeated(count) => Some(self.args.len() - 1 + count),
            Variadic::Any => None,
        }
    }

    /// Type of the argument at `idx`.
    #[must_use]
    pub fn arg_type(&self, idx: usize) -> Option<ValueType> {
        self.args.get(idx).or(self.args.last()).copied()
    }

    /// The function of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS
            .binary_search_by(|function| function.name.cmp(name))
            .ok()
            .map(|idx| &FUNCTIONS[idx])
    }

    /// All functions, by name.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &FUNCTIONS
    }
}

const fn plain(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, variadic: Variadic::No, returns, experimental: false }
}

const fn optional(
    name: &'static str,
    args: &'static [ValueType],
    count: usize,
    returns: ValueType,
) -> Function {
    Function { name, args, variadic: Variadic::Optional(count), returns, experimental: false }
}

const fn repeated(
    name: &'static str,
    args: &'static [ValueType],
    count: usize,
    returns: ValueType,
) -> Function {
    Function { name, args, variadic: Variadic::Repeated(count), returns, experimental: false }
}

const fn any(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, variadic: Variadic::Any, returns, experimental: false }
}

const fn experimental(function: Function) -> Function {
    Function { experimental: true, ..function }
}

/// Sorted by name.
static FUNCTIONS: [Function; FUNCTION_COUNT] = [
    plain("abs", &[Vector], Vector),
    plain("absent", &[Vector], Vector),
    plain("absent_over_time", &[Matrix], Vector),
    plain("acos", &[Vector], Vector),
    plain("acosh", &[Vector], Vector),
    plain("asin", &[Vector], Vector),
    plain("asinh", &[Vector], Vector),
    plain("atan", &[Vector], Vector),
    plain("atanh", &[Vector], Vector),
    plain("avg_over_time", &[Matrix], Vector),
    plain("ceil", &[Vector], Vector),
    plain("changes", &[Matrix], Vector),
    plain("clamp", &[Vector, Scalar, Scalar], Vector),
    plain("clamp_max", &[Vector, Scalar], Vector),
    plain("clamp_min", &[Vector, Scalar], Vector),
    plain("cos", &[Vector], Vector),
    plain("cosh", &[Vector], Vector),
    plain("count_over_time", &[Matrix], Vector),
    optional("day_of_month", &[Vector], 1, Vector),
    optional("day_of_week", &[Vector], 1, Vector),
    optional("day_of_year", &[Vector], 1, Vector),
    optional("days_in_month", &[Vector], 1, Vector),
    plain("deg", &[Vector], Vector),
    plain("delta", &[Matrix], Vector),
    plain("deriv", &[Matrix], Vector),
    experimental(plain("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)),
    experimental(plain("end", &[], Scalar)),
    plain("exp", &[Vector], Vector),
    plain("first_over_time", &[Matrix], Vector),
    plain("floor", &[Vector], Vector),
    plain("histogram_avg", &[Vector], Vector),
    plain("histogram_count", &[Vector], Vector),
    plain("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    plain("histogram_quantile", &[Scalar, Vector], Vector),
    experimental(repeated("histogram_quantiles", &[Vector, Text, Scalar, Scalar], 9, Vector)),
    plain("histogram_stddev", &[Vector], Vector),
    plain("histogram_stdvar", &[Vector], Vector),
    plain("histogram_sum", &[Vector], Vector),
    optional("hour", &[Vector], 1, Vector),
    plain("idelta", &[Matrix], Vector),
    plain("increase", &[Matrix], Vector),
    experimental(optional("info", &[Vector, Vector], 1, Vector)),
    plain("irate", &[Matrix], Vector),
    any("label_join", &[Vector, Text, Text, Text], Vector),
    plain("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    plain("last_over_time", &[Matrix], Vector),
    plain("ln", &[Vector], Vector),
    plain("log10", &[Vector], Vector),
    plain("log2", &[Vector], Vector),
    experimental(plain("mad_over_time", &[Matrix], Vector)),
    experimental(plain("max_of", &[Scalar, Scalar], Scalar)),
    plain("max_over_time", &[Matrix], Vector),
    experimental(plain("min_of", &[Scalar, Scalar], Scalar)),
    plain("min_over_time", &[Matrix], Vector),
    optional("minute", &[Vector], 1, Vector),
    optional("month", &[Vector], 1, Vector),
    plain("pi", &[], Scalar),
    plain("predict_linear", &[Matrix, Scalar], Vector),
    plain("present_over_time", &[Matrix], Vector),
    plain("quantile_over_time", &[Scalar, Matrix], Vector),
    plain("rad", &[Vector], Vector),
    experimental(plain("range", &[], Scalar)),
    plain("rate", &[Matrix], Vector),
    plain("resets", &[Matrix], Vector),
    optional("round", &[Vector, Scalar], 1, Vector),
    plain("scalar", &[Vector], Scalar),
    plain("sgn", &[Vector], Vector),
    plain("sin", &[Vector], Vector),
    plain("sinh", &[Vector], Vector),
    plain("sort", &[Vector], Vector),
    experimental(any("sort_by_label", &[Vector, Text], Vector)),
    experimental(any("sort_by_label_desc", &[Vector, Text], Vector)),
    plain("sort_desc", &[Vector], Vector),
    plain("sqrt", &[Vector], Vector),
    experimental(plain("start", &[], Scalar)),
    experimental(plain("start_timestamp", &[Vector], Vector)),
    plain("stddev_over_time", &[Matrix], Vector),
    plain("stdvar_over_time", &[Matrix], Vector),
    experimental(plain("step", &[], Scalar)),
    plain("sum_over_time", &[Matrix], Vector),
    plain("tan", &[Vector], Vector),
    plain("tanh", &[Vector], Vector),
    plain("time", &[], Scalar),
    plain("timestamp", &[Vector], Vector),
    experimental(plain("ts_of_first_over_time", &[Matrix], Vector)),
    experimental(plain("ts_of_last_over_time", &[Matrix], Vector)),
    experimental(plain("ts_of_max_over_time", &[Matrix], Vector)),
    experimental(plain("ts_of_min_over_time", &[Matrix], Vector)),
    plain("vector", &[Scalar], Vector),
    optional("year", &[Vector], 1, Vector),
];

const FUNCTION_COUNT: usize = 90;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_search_finds_every_name() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for function in Function::all() {
            assert_eq!(Function::find(function.name), Some(function));
        }
        assert_eq!(Function::find("ratee"), None);
    }

    #[test]
    fn argument_counts_follow_the_signature() {
        let find = |name: &str| Function::find(name).expect("known function");
        let counts = |name: &str| (find(name).args_min(), find(name).args_max());
        assert_eq!(counts("rate"), (1, Some(1)));
        assert_eq!(counts("round"), (1, Some(2)));
        assert_eq!(counts("label_join"), (3, None));
        assert_eq!(counts("hour"), (0, Some(1)));
        assert_eq!(counts("info"), (1, Some(2)));
        assert_eq!(counts("histogram_quantiles"), (3, Some(12)));
        assert!(!find("first_over_time").experimental && find("mad_over_time").experimental);
    }
}
