//! What is wrong with one part of the configuration, told under its name.

/// Collects the faults of one part under its name.
pub(super) struct Faults<'a> {
    /// The part, such as a job.
    pub(super) place: String,
    /// Faults of all.
    pub(super) all: &'a mut Vec<String>,
}

impl Faults<'_> {
    pub(super) fn push(&mut self, fault: impl std::fmt::Display) {
        self.all.push(format!("{}: {fault}", self.place));
    }

    /// At most one of two ways to give a value.
    pub(super) fn one_of<T>(
        &mut self,
        names: (&str, &str),
        text: Option<T>,
        file: Option<T>,
    ) -> Option<T> {
        if text.is_some() && file.is_some() {
            self.push(format!("give {} or {}, not both", names.0, names.1));
        }
        text.or(file)
    }
}
