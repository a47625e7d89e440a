//! Bearer tokens, compared in constant time.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::hmac;
use ring::rand::SystemRandom;

/// A token to compare with, kept as a keyed digest: the text itself is not in memory, and comparison
/// takes the same time wherever the difference is.
#[derive(Clone, Debug)]
pub struct SecretToken {
    key: hmac::Key,
    tag: hmac::Tag,
}

/// The machine gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no randomness")]
pub struct NoRandomness;

impl SecretToken {
    /// Takes in a token.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(token: &str) -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| NoRandomness)?;
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    /// Whether `candidate` is the token.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        hmac::verify(&self.key, candidate.as_bytes(), self.tag.as_ref()).is_ok()
    }

    /// Whether a request's `Authorization` header carries the token.
    #[must_use]
    pub fn authorizes(&self, headers: &HeaderMap) -> bool {
        bearer_token(headers).is_some_and(|candidate| self.matches(candidate))
    }
}

/// The token of an `Authorization: Bearer …` header.
#[must_use]
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let secret = SecretToken::new("correct horse").expect("randomness");
        for (candidate, expected) in [
            ("correct horse", true),
            ("correct hors", false),
            ("correct horse ", false),
            ("", false),
        ] {
            assert_eq!(secret.matches(candidate), expected, "{candidate:?}");
        }
    }

    #[test]
    fn the_header_is_read_as_rfc_6750_says() {
        let secret = SecretToken::new("t0ken").expect("randomness");
        for (header, expected) in [
            ("Bearer t0ken", true),
            ("bearer  t0ken", true),
            ("Basic t0ken", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("t0ken", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().expect("valid header"));
            assert_eq!(secret.authorizes(&headers), expected, "{header:?}");
        }
        assert!(!secret.authorizes(&HeaderMap::new()));
    }
}
