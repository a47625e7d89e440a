//! The doors to the outside: [`Clock`] and [`Dir`] (files with explicit sync), each as a real, an in-memory
//! and, for `Dir`, a fault-injecting version. [`Throttle`] keeps a log short.

mod clock;
pub mod dir;
mod throttle;

pub use clock::{Clock, ManualClock, Monotonic, SystemClock};
pub use dir::{
    AppendFile, Dir, DirEntry, DirLock, Fault, FaultDir, FsDir, LockError, MemDir, ReadFile,
    lacks_descriptors, read_whole, remove_tree,
};
pub use throttle::Throttle;
