//! Rule files as YAML, twice: with unknown fields refused, and with unknown fields passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// Whether unknown fields are refused is an attribute of a type in serde: so there are two of each.
macro_rules! raw_types {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub(super) struct $name { $($(#[$attr])* pub(super) $field: $type,)* }
        )*

        pub(super) mod lenient {
            use super::{BTreeMap, Deserialize, Spanned, Strict};

            $(
                $(#[$meta])*
                #[derive(Debug, Deserialize)]
                pub(in super::super) struct $name { $($(#[$attr])* $field: $type,)* }

                impl Strict for $name {
                    type Strict = super::$name;

                    fn strict(self) -> super::$name {
                        super::$name { $($field: self.$field.strict(),)* }
                    }
                }
            )*
        }
    };
}

raw_types! {
    #[derive(Default)]
    struct RawFile {
        #[serde(default)]
        groups: Option<Vec<RawGroup>>,
    }

    struct RawGroup {
        name: Option<Spanned<String>>,
        interval: Option<Spanned<String>>,
        query_offset: Option<Spanned<String>>,
        limit: Option<i64>,
        #[serde(default, deserialize_with = "crate::file::raw::texts")]
        labels: Option<BTreeMap<String, Spanned<String>>>,
        rules: Option<Vec<Spanned<RawRule>>>,
    }

    struct RawRule {
        record: Option<Spanned<String>>,
        alert: Option<Spanned<String>>,
        expr: Option<Spanned<String>>,
        #[serde(rename = "for")]
        for_: Option<Spanned<String>>,
        keep_firing_for: Option<Spanned<String>>,
        #[serde(default, deserialize_with = "crate::file::raw::texts")]
        labels: Option<BTreeMap<String, Spanned<String>>>,
        #[serde(default, deserialize_with = "crate::file::raw::texts")]
        annotations: Option<BTreeMap<String, Spanned<String>>>,
    }
}

/// Texts by name; null is an empty one, as in Prometheus.
fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, Spanned<String>>>, D::Error> {
    let texts = Option::<BTreeMap<String, Spanned<Option<String>>>>::deserialize(deserializer)?;
    let given = |text: Spanned<Option<String>>| Spanned {
        value: text.value.unwrap_or_default(),
        referenced: text.referenced,
        defined: text.defined,
    };
    Ok(texts.map(|texts| texts.into_iter().map(|(name, text)| (name, given(text))).collect()))
}

/// Makes the strict type of the lenient one, through all that may stand around it.
pub(super) trait Strict {
    type Strict;

    fn strict(self) -> Self::Strict;
}

impl<T: Strict> Strict for Option<T> {
    type Strict = Option<T::Strict>;

    fn strict(self) -> Self::Strict {
        self.map(T::strict)
    }
}

impl<T: Strict> Strict for Vec<T> {
    type Strict = Vec<T::Strict>;

    fn strict(self) -> Self::Strict {
        self.into_iter().map(T::strict).collect()
    }
}

impl<T: Strict> Strict for Spanned<T> {
    type Strict = Spanned<T::Strict>;

    fn strict(self) -> Self::Strict {
        Spanned { value: self.value.strict(), referenced: self.referenced, defined: self.defined }
    }
}

impl<T: Strict> Strict for BTreeMap<String, T> {
    type Strict = BTreeMap<String, T::Strict>;

    fn strict(self) -> Self::Strict {
        self.into_iter().map(|(name, value)| (name, value.strict())).collect()
    }
}

impl Strict for String {
    type Strict = Self;

    fn strict(self) -> Self {
        self
    }
}

impl Strict for i64 {
    type Strict = Self;

    fn strict(self) -> Self {
        self
    }
}
