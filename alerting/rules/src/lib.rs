//! Rule groups: file types, the state machine of alerts as a step function, annotation templates.
