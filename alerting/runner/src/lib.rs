//! Runs rule groups and notifications: schedule, notification log, resend, HTTP surface.
