//! Plans and evaluates PromQL over columns; pure, without clock or IO.
