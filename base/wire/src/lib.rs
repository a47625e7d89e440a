//! Serde and prost shapes of model values and configuration scalars; no logic.
