//! One file per receiver: a pure render of the notification and a thin send.
