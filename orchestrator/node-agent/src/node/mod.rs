//! The node itself: its object, its lease, its conditions.

mod machine;
mod object;
mod registrar;

pub(crate) use registrar::Registrar;
