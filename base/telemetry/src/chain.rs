use std::error::Error;
use std::fmt::Write as _;

/// An error with its causes on one line, outermost first, separated by `: `.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, ": {inner}").expect("writing to a string cannot fail");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_their_error() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = std::io::Error::other(cause);
        assert_eq!(chain(&error), "no such file");
        let error: Box<dyn Error> = "plain".into();
        assert_eq!(chain(error.as_ref()), "plain");
    }
}
