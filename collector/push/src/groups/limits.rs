//! What a group may be: labels as the storage takes them, and bytes, since a body says its group's labels once and each
//! of its series has them.

use super::body::{Families, Family, PushFault};

/// Groups that are kept.
pub(crate) const GROUPS_MAX: usize = 10_000;
/// Series of all groups together.
pub(crate) const SERIES_MAX: usize = 500_000;
/// Bytes of one group, as [`group_bytes`] counts. Its file has at most six times as many (each byte of a text may become
/// `\u0000` there), which is below the largest file that is read.
pub(crate) const GROUP_BYTES_MAX: usize = 128 << 20;
/// Bytes of all groups together.
pub(crate) const TOTAL_BYTES_MAX: usize = 512 << 20;
/// Labels of a series, its name included: as the storage has it.
const LABEL_COUNT_MAX: usize = 64;
/// Bytes of a label's name: as the storage has it.
const LABEL_NAME_BYTES_MAX: usize = 1024;
/// Bytes of a label's value: as the storage has it.
const LABEL_VALUE_BYTES_MAX: usize = 4096;
/// What a label takes in memory beside its texts.
const LABEL_BYTES: usize = size_of::<(String, String)>();
/// What a series takes beside its labels.
const SERIES_BYTES: usize = size_of::<(Vec<(String, String)>, u64)>();
/// What a family takes beside its texts and series.
const FAMILY_BYTES: usize = size_of::<(String, Family)>();

/// Refuses labels, of a group or of a series, that the storage would not take.
///
/// # Errors
/// [`PushFault::Labels`], which says the limit.
pub(crate) fn check_labels<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), PushFault> {
    let mut count = 0;
    for (name, value) in labels {
        count += 1;
        let start: String = name.chars().take(64).collect();
        if name.len() > LABEL_NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(PushFault::Labels(format!(
                "the name of label {start:?}... has {bytes} bytes, more than {LABEL_NAME_BYTES_MAX}"
            )));
        }
        if value.len() > LABEL_VALUE_BYTES_MAX {
            let bytes = value.len();
            return Err(PushFault::Labels(format!(
                "the value of label {start:?} has {bytes} bytes, more than {LABEL_VALUE_BYTES_MAX}"
            )));
        }
    }
    if count > LABEL_COUNT_MAX {
        return Err(PushFault::Labels(format!(
            "{count} labels, those of the group included, are more than {LABEL_COUNT_MAX}"
        )));
    }
    Ok(())
}

/// Bytes that a series takes in memory.
pub(crate) fn series_bytes<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
    let labels = labels.into_iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len());
    SERIES_BYTES + labels.sum::<usize>()
}

/// Bytes that the families of a group take in memory.
pub(crate) fn group_bytes(families: &Families) -> usize {
    let family_bytes = |(name, family): (&String, &Family)| {
        let series = family.series.iter().map(|(labels, _)| {
            series_bytes(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        });
        FAMILY_BYTES + name.len() + family.kind.len() + family.help.len() + series.sum::<usize>()
    };
    families.iter().map(family_bytes).sum()
}

/// That one group is too large.
pub(crate) fn group_too_large() -> PushFault {
    PushFault::TooMuch(format!(
        "the group would take more than {GROUP_BYTES_MAX} bytes, its labels counted with each series: push fewer \
         series or shorter labels, or several groups"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_be_as_long_as_the_storage_takes_them() {
        let told = |count: usize, name_bytes: usize, value_bytes: usize| {
            let (name, value) = ("n".repeat(name_bytes), "v".repeat(value_bytes));
            let labels = std::iter::repeat_n((name.as_str(), value.as_str()), count);
            check_labels(labels).err().map(|fault| fault.to_string()).unwrap_or_default()
        };
        assert_eq!(told(64, 1024, 4096), "");
        assert!(told(65, 1, 1).contains("65 labels"));
        assert!(told(1, 1025, 1).contains("1025 bytes, more than 1024"));
        assert!(told(1, 1, 4097).contains("4097 bytes, more than 4096"));
    }
}
