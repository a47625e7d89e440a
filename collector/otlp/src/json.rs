//! How OTLP writes scalars in JSON: numbers of 64 bits as text or number, floats also as `"NaN"` and `"Infinity"`,
//! identifiers in hexadecimal, bytes in base64, enumerations as number or name.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A whole number in either form.
struct Whole<T>(T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWhole<T>(PhantomData<T>);
        impl<T: TryFrom<i128>> Visitor<'_> for AsWhole<T> {
            type Value = Whole<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or one as text")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<T>, E> {
                self.fit(i128::from(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole<T>, E> {
                self.fit(i128::from(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole<T>, E> {
                // What floats cannot tell apart is not written as one.
                if number.fract() == 0.0 && number.abs() < 9e15 {
                    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
                    return self.fit(number as i128);
                }
                Err(E::custom(format!("{number} is no whole number")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Whole<T>, E> {
                match text.parse::<i128>() {
                    Ok(number) => self.fit(number),
                    Err(_) => Err(E::custom(format!("{text:?} is no whole number"))),
                }
            }
        }
        impl<T: TryFrom<i128>> AsWhole<T> {
            fn fit<E: Error>(&self, number: i128) -> Result<Whole<T>, E> {
                T::try_from(number)
                    .map(Whole)
                    .map_err(|_| E::custom(format!("{number} is out of range")))
            }
        }
        deserializer.deserialize_any(AsWhole(PhantomData))
    }
}

/// A float in either form.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsDouble;
        impl Visitor<'_> for AsDouble {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or one as text")
            }

            #[expect(clippy::cast_precision_loss, reason = "the field is a float")]
            fn visit_u64<E: Error>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "the field is a float")]
            fn visit_i64<E: Error>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                text.parse().map(Double).map_err(|_| E::custom(format!("{text:?} is no number")))
            }
        }
        deserializer.deserialize_any(AsDouble)
    }
}

pub(crate) fn whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Whole::deserialize(from)?.0)
}

pub(crate) fn some_whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(from)?.map(|whole| whole.0))
}

pub(crate) fn wholes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    let wholes = Vec::<Whole<u64>>::deserialize(from)?;
    Ok(wholes.into_iter().map(|whole| whole.0).collect())
}

pub(crate) fn double<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Double::deserialize(from)?.0)
}

pub(crate) fn some_double<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(Option::<Double>::deserialize(from)?.map(|double| double.0))
}

pub(crate) fn doubles<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let doubles = Vec::<Double>::deserialize(from)?;
    Ok(doubles.into_iter().map(|double| double.0).collect())
}

pub(crate) fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    struct AsTemporality;
    impl Visitor<'_> for AsTemporality {
        type Value = i32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an aggregation temporality, 0 to 2")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
            i32::try_from(number).map_err(|_| E::custom(format!("{number} is no temporality")))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
            i32::try_from(number).map_err(|_| E::custom(format!("{number} is no temporality")))
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
            match name.strip_prefix("AGGREGATION_TEMPORALITY_") {
                Some("UNSPECIFIED") => Ok(0),
                Some("DELTA") => Ok(1),
                Some("CUMULATIVE") => Ok(2),
                _ => Err(E::custom(format!("{name:?} is no temporality"))),
            }
        }
    }
    from.deserialize_any(AsTemporality)
}

pub(crate) fn hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    let pairs = text.as_bytes().chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    let byte = |pair: &[u8]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes
        .filter(|_| is_whole)
        .ok_or_else(|| D::Error::custom(format!("{text:?} is not hexadecimal")))
}

pub(crate) fn some_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let Some(text) = Option::<std::borrow::Cow<'_, str>>::deserialize(from)? else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(text.as_bytes());
    bytes.map(Some).map_err(|error| D::Error::custom(format!("{text:?} is not base64: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::message::{ExportRequest, NumberPoint};

    fn point(json: &str) -> Result<NumberPoint, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_come_as_numbers_and_as_text() {
        let text = point(r#"{"timeUnixNano":"1700000000000000000","asInt":"-7","flags":1}"#);
        let number = point(r#"{"timeUnixNano":1700000000000000000,"asInt":-7,"flags":"1"}"#);
        assert_eq!(text, number);
        assert_eq!(text.expect("good").as_int, Some(-7));
        let value = |json: &str| point(json).expect("good").as_double.expect("a value");
        assert_eq!(value(r#"{"asDouble":3}"#), 3.0);
        assert_eq!(value(r#"{"asDouble":"2.5"}"#), 2.5);
        assert!(value(r#"{"asDouble":"NaN"}"#).is_nan());
        assert_eq!(value(r#"{"asDouble":"-Infinity"}"#), f64::NEG_INFINITY);
    }

    #[test]
    fn what_is_no_number_is_told() {
        for (json, part) in [
            (r#"{"timeUnixNano":"-1"}"#, "out of range"),
            (r#"{"timeUnixNano":1.5}"#, "no whole number"),
            (r#"{"flags":"many"}"#, "no whole number"),
            (r#"{"asDouble":"x"}"#, "no number"),
            (r#"{"exemplars":[{"traceId":"0g"}]}"#, "not hexadecimal"),
            (r#"{"exemplars":[{"traceId":"012"}]}"#, "not hexadecimal"),
            (r#"{"attributes":[{"value":{"bytesValue":"%"}}]}"#, "not base64"),
        ] {
            let told = point(json).expect_err(json);
            assert!(told.contains(part), "{json}: {told}");
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_temporalities_have_names() {
        let json = r#"{"resourceMetrics":[{"new":[1,{}],"scopeMetrics":[{"metrics":[
            {"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}},
            {"sum":{"aggregationTemporality":2}}]}]}]}"#;
        let request: ExportRequest = serde_json::from_str(json).expect("good");
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let found =
            metrics.iter().map(|it| it.sum.as_ref().expect("a sum").aggregation_temporality);
        assert_eq!(found.collect::<Vec<_>>(), [1, 2]);
    }
}
