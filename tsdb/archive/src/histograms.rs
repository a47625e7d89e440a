//! Native histograms as a struct column, and back.
//!
//! Fields: `schema`, `reset_hint` (`unknown`, `reset`, `not_reset`, `gauge`), `zero_threshold`, `zero_count`, `count`,
//! `sum`, and lists: for each side the `…_offsets` and `…_lengths` of its runs of buckets and the absolute `…_counts`
//! of the buckets in them, as in [`NativeHistogram`]; `custom_bounds` for schema −53.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, ListArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use swell_model::{CounterResetHint, NativeHistogram, Span};

const HINTS: [(CounterResetHint, &str); 4] = [
    (CounterResetHint::Unknown, "unknown"),
    (CounterResetHint::Reset, "reset"),
    (CounterResetHint::NotReset, "not_reset"),
    (CounterResetHint::Gauge, "gauge"),
];

const INT_LISTS: [&str; 4] =
    ["positive_offsets", "positive_lengths", "negative_offsets", "negative_lengths"];
const FLOAT_LISTS: [&str; 3] = ["positive_counts", "negative_counts", "custom_bounds"];
const FLOATS: [&str; 4] = ["zero_threshold", "zero_count", "count", "sum"];

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, false))
}

fn fields() -> Fields {
    let mut fields = vec![
        Field::new("schema", DataType::Int32, false),
        Field::new("reset_hint", DataType::Utf8, false),
    ];
    fields.extend(FLOATS.map(|name| Field::new(name, DataType::Float64, false)));
    let ints = DataType::List(item(DataType::Int32));
    fields.extend(INT_LISTS.map(|name| Field::new(name, ints.clone(), false)));
    let floats = DataType::List(item(DataType::Float64));
    fields.extend(FLOAT_LISTS.map(|name| Field::new(name, floats.clone(), false)));
    fields.into()
}

/// Type of the column.
pub(crate) fn data_type() -> DataType {
    DataType::Struct(fields())
}

/// The column for these rows.
pub(crate) fn array<'h>(
    rows: impl Iterator<Item = Option<&'h Arc<NativeHistogram>>>,
    row_count: usize,
) -> Result<StructArray, ArrowError> {
    let empty = Arc::new(NativeHistogram::default());
    let mut present = Vec::with_capacity(row_count);
    let rows: Vec<&NativeHistogram> = rows
        .map(|row| {
            present.push(row.is_some());
            &**row.unwrap_or(&empty)
        })
        .collect();
    let number = |of: fn(&NativeHistogram) -> f64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Float64Array>())
    };
    let hint = |row: &&NativeHistogram| {
        HINTS.iter().find(|(hint, _)| *hint == row.reset_hint).map_or("unknown", |(_, name)| name)
    };
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.schema)).collect::<Int32Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(hint))),
        number(|row| row.zero_threshold),
        number(|row| row.zero_count),
        number(|row| row.count),
        number(|row| row.sum),
    ];
    for of in [
        |row: &NativeHistogram| offsets(&row.positive_spans),
        |row: &NativeHistogram| lengths(&row.positive_spans),
        |row: &NativeHistogram| offsets(&row.negative_spans),
        |row: &NativeHistogram| lengths(&row.negative_spans),
    ] {
        let lists = rows.iter().map(|row| of(row)).collect::<Result<Vec<Vec<i32>>, _>>()?;
        let ends = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
        let values = Int32Array::from(lists.concat());
        let list = ListArray::try_new(item(DataType::Int32), ends, Arc::new(values), None)?;
        arrays.push(Arc::new(list));
    }
    for of in [
        |row: &NativeHistogram| row.positive_buckets.clone(),
        |row: &NativeHistogram| row.negative_buckets.clone(),
        |row: &NativeHistogram| row.custom_bounds.clone(),
    ] {
        let lists: Vec<Vec<f64>> = rows.iter().map(|row| of(row)).collect();
        let ends = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
        let values = Float64Array::from(lists.concat());
        let list = ListArray::try_new(item(DataType::Float64), ends, Arc::new(values), None)?;
        arrays.push(Arc::new(list));
    }
    StructArray::try_new(fields(), arrays, Some(NullBuffer::from(present)))
}

fn offsets(spans: &[Span]) -> Result<Vec<i32>, ArrowError> {
    Ok(spans.iter().map(|span| span.offset).collect())
}

fn lengths(spans: &[Span]) -> Result<Vec<i32>, ArrowError> {
    let length = |span: &Span| {
        i32::try_from(span.length).map_err(|_| {
            ArrowError::InvalidArgumentError(format!("a run of {} buckets", span.length))
        })
    };
    spans.iter().map(length).collect()
}

/// Reads histograms out of a column.
pub(crate) struct Reader<'a> {
    column: &'a StructArray,
    schema: &'a Int32Array,
    hint: &'a StringArray,
    floats: Vec<&'a Float64Array>,
    int_lists: Vec<&'a ListArray>,
    float_lists: Vec<&'a ListArray>,
}

impl<'a> Reader<'a> {
    /// `None` when the column is not what [`data_type`] says.
    pub(crate) fn new(column: &'a StructArray) -> Option<Self> {
        let list = |name: &str| column.column_by_name(name)?.as_list_opt::<i32>();
        let reader = Self {
            column,
            schema: column.column_by_name("schema")?.as_primitive_opt()?,
            hint: column.column_by_name("reset_hint")?.as_string_opt()?,
            floats: FLOATS
                .iter()
                .map(|name| column.column_by_name(name)?.as_primitive_opt())
                .collect::<Option<_>>()?,
            int_lists: INT_LISTS.iter().map(|name| list(name)).collect::<Option<_>>()?,
            float_lists: FLOAT_LISTS.iter().map(|name| list(name)).collect::<Option<_>>()?,
        };
        let is = |lists: &[&ListArray], data_type: DataType| {
            lists.iter().all(|list| list.value_type() == data_type)
        };
        (is(&reader.int_lists, DataType::Int32) && is(&reader.float_lists, DataType::Float64))
            .then_some(reader)
    }

    /// Whether the row holds a histogram.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.column.is_valid(row)
    }

    /// The histogram of a row; `None` when its spans do not fit its buckets.
    pub(crate) fn get(&self, row: usize) -> Option<NativeHistogram> {
        let ints = |idx: usize| {
            self.int_lists[idx].value(row).as_primitive::<Int32Type>().values().to_vec()
        };
        let floats = |idx: usize| {
            self.float_lists[idx].value(row).as_primitive::<Float64Type>().values().to_vec()
        };
        let hint = self.hint.value(row);
        let histogram = NativeHistogram {
            schema: self.schema.value(row),
            reset_hint: HINTS.iter().find(|(_, name)| *name == hint)?.0,
            zero_threshold: self.floats[0].value(row),
            zero_count: self.floats[1].value(row),
            count: self.floats[2].value(row),
            sum: self.floats[3].value(row),
            positive_spans: spans(&ints(0), &ints(1))?,
            negative_spans: spans(&ints(2), &ints(3))?,
            positive_buckets: floats(0),
            negative_buckets: floats(1),
            custom_bounds: floats(2),
        };
        let fits = |spans: &[Span], buckets: &[f64]| {
            spans.iter().map(|span| u64::from(span.length)).sum::<u64>() == buckets.len() as u64
        };
        (fits(&histogram.positive_spans, &histogram.positive_buckets)
            && fits(&histogram.negative_spans, &histogram.negative_buckets))
        .then_some(histogram)
    }
}

fn spans(offsets: &[i32], lengths: &[i32]) -> Option<Vec<Span>> {
    if offsets.len() != lengths.len() {
        return None;
    }
    let span = |(offset, length): (&i32, &i32)| {
        Some(Span { offset: *offset, length: u32::try_from(*length).ok()? })
    };
    offsets.iter().zip(lengths).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_come_back() {
        let full = Arc::new(NativeHistogram {
            schema: -53,
            reset_hint: CounterResetHint::Gauge,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 9.5,
            sum: f64::NEG_INFINITY,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![1.0, 0.0, 3.5],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![3.0],
            custom_bounds: vec![0.5, 1.0],
        });
        let empty = Arc::new(NativeHistogram::default());
        let rows = [Some(&full), None, Some(&empty)];
        let column = array(rows.into_iter(), 3).expect("fits");
        let reader = Reader::new(&column).expect("its own column");
        assert!(reader.has(0) && !reader.has(1) && reader.has(2));
        assert_eq!(reader.get(0).as_ref(), Some(&*full));
        assert_eq!(reader.get(2).as_ref(), Some(&*empty));
    }
}
