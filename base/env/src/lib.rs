//! The doors to the outside: [`Clock`], files with explicit sync (`Dir`) and seeded randomness, each as a
//! real, an in-memory and a fault-injecting version.

mod clock;

pub use clock::{Clock, ManualClock, Monotonic, SystemClock};
