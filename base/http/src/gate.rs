//! Who is let in to a surface: names and passwords, and headers that every answer of it carries. What counts may be
//! replaced while the surface serves.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use ring::digest::{Digest, SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

use crate::bearer::NoRandomness;

/// Hashes computed at once: each takes a core for a tenth of a second, which is what makes guessing dear.
const HASHES_MAX: usize = 1;
/// Outcomes remembered, so that a client that asks each second costs one hash and not one a second.
const OUTCOMES_MAX: usize = 256;
/// Compared with where there is no such user, so that names cannot be told apart by time: a hash of nothing guessable.
const NOBODY: &str = "$2b$10$7EqJtq98hPqEX7fNZaFWoOhi0s1t5iVrPR1VuLjZpHhQZbWQFtzVy";

/// A user who was let in; handlers take it as `Extension<Authenticated>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Their name.
    pub user: String,
}

/// What a gate asks and adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateRules {
    /// bcrypt hashes of passwords by user; without any, everybody is let in.
    pub users: BTreeMap<String, String>,
    /// Set on every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A hash that is none of bcrypt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password of {user:?} is no bcrypt hash: make one with `htpasswd -nBC 10 {user}`")]
pub struct NoBcryptHash {
    user: String,
}

/// Stands in front of a router. Cloning copies a pointer.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    rules: RwLock<Arc<GateRules>>,
    /// Keyed digests of user, hash and password, with the outcome: no password stays in memory.
    outcomes: Mutex<HashMap<Vec<u8>, bool>>,
    key: hmac::Key,
    hashing: Arc<Semaphore>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate(<secret>)")
    }
}

impl GateRules {
    /// Checks the form of the hashes.
    ///
    /// # Errors
    /// [`NoBcryptHash`] names the first user whose hash is none.
    pub fn check(&self) -> Result<(), NoBcryptHash> {
        let broken = self.users.iter().find(|(_, hash)| hash.parse::<bcrypt::HashParts>().is_err());
        broken.map_or(Ok(()), |(user, _)| Err(NoBcryptHash { user: user.clone() }))
    }
}

impl Gate {
    /// A gate with these rules.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(rules: GateRules) -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| NoRandomness)?;
        Ok(Self(Arc::new(Inner {
            rules: RwLock::new(Arc::new(rules)),
            outcomes: Mutex::default(),
            key,
            hashing: Arc::new(Semaphore::new(HASHES_MAX)),
        })))
    }

    /// Puts other rules in force.
    pub fn replace(&self, rules: GateRules) {
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Whether nobody gets in without a password.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        !self.rules().users.is_empty()
    }

    /// The router behind the gate.
    pub fn before(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), pass))
    }

    fn rules(&self) -> Arc<GateRules> {
        self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn admits(&self, rules: &GateRules, user: &str, password: &str) -> bool {
        let known = rules.users.get(user);
        let hash = known.map_or(NOBODY, String::as_str).to_owned();
        let digest = |text: &str| -> Digest { digest(&SHA256, text.as_bytes()) };
        // Each part has one length, so that none can be read as a piece of another.
        let asked = [digest(user), digest(&hash), digest(password)];
        let asked: Vec<u8> = asked.iter().flat_map(|part| part.as_ref().to_vec()).collect();
        let asked = hmac::sign(&self.0.key, &asked).as_ref().to_vec();
        let matches = match self.remembered(&asked) {
            Some(matches) => matches,
            None => self.computed(asked, hash, password.to_owned()).await,
        };
        matches && known.is_some()
    }

    async fn computed(&self, asked: Vec<u8>, hash: String, password: String) -> bool {
        let Ok(turn) = Arc::clone(&self.0.hashing).acquire_owned().await else { return false };
        // Others of the same client may have waited in front.
        if let Some(matches) = self.remembered(&asked) {
            return matches;
        }
        let gate = self.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let matches = bcrypt::verify(password, &hash).unwrap_or(false);
            gate.remember(asked, matches);
            // Held until here, also when the client has gone meanwhile.
            drop(turn);
            matches
        });
        hashed.await.unwrap_or(false)
    }

    fn remembered(&self, asked: &[u8]) -> Option<bool> {
        self.outcomes().get(asked).copied()
    }

    /// A flood of wrong passwords pushes out wrong ones only.
    fn remember(&self, asked: Vec<u8>, matches: bool) {
        let mut outcomes = self.outcomes();
        if outcomes.len() >= OUTCOMES_MAX {
            outcomes.retain(|_, matches| *matches);
            if outcomes.len() >= OUTCOMES_MAX {
                outcomes.clear();
            }
        }
        outcomes.insert(asked, matches);
    }

    fn outcomes(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, bool>> {
        self.0.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let rules = gate.rules();
    let mut response = if rules.users.is_empty() {
        next.run(request).await
    } else {
        match credentials(&request) {
            Some((user, password)) if gate.admits(&rules, &user, &password).await => {
                request.extensions_mut().insert(Authenticated { user });
                next.run(request).await
            }
            _ => refusal(),
        }
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn refusal() -> Response {
    let asks = (WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    (StatusCode::UNAUTHORIZED, [asks], "Unauthorized\n").into_response()
}

/// User and password of an `Authorization: Basic …` header.
fn credentials(request: &Request) -> Option<(String, String)> {
    let text = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, packed) = text.split_once(' ')?;
    let pair = String::from_utf8(STANDARD.decode(packed.trim_ascii()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// Cheap hashes, for tests only.
    fn users(pairs: &[(&str, &str)]) -> GateRules {
        let hash = |password: &str| bcrypt::hash(password, 4).expect("a hash");
        let users = pairs.iter().map(|(user, password)| ((*user).to_owned(), hash(password)));
        GateRules { users: users.collect(), headers: Vec::new() }
    }

    fn router(gate: &Gate) -> Router {
        let whoami = |user: Option<Extension<Authenticated>>| async move {
            user.map_or_else(|| "anybody".to_owned(), |Extension(it)| it.user)
        };
        gate.before(Router::new().route("/", get(whoami)))
    }

    async fn ask(router: &Router, authorization: Option<&str>) -> (u16, String) {
        let mut request = Request::builder().uri("/");
        if let Some(text) = authorization {
            request = request.header(AUTHORIZATION, text);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("routers do not fail");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    #[tokio::test]
    async fn only_users_with_their_password_pass() {
        let gate = Gate::new(users(&[("ann", "one:two"), ("bob", "")])).expect("randomness");
        let router = router(&gate);
        for (authorization, expected) in [
            (Some(basic("ann", "one:two")), Some("ann")),
            (Some(basic("ann", "one:two").replace("Basic", "bAsIc")), Some("ann")),
            (Some(basic("bob", "")), Some("bob")),
            (Some(basic("ann", "one")), None),
            (Some(basic("ann", "")), None),
            (Some(basic("bob", "one:two")), None),
            (Some(basic("eve", "one:two")), None),
            (Some(basic("", "")), None),
            (Some("Basic !!!".to_owned()), None),
            (Some("Bearer one:two".to_owned()), None),
            (None, None),
        ] {
            // Twice: what is remembered answers as what is computed.
            for _ in 0..2 {
                let (code, text) = ask(&router, authorization.as_deref()).await;
                match expected {
                    Some(user) => assert_eq!((code, text.as_str()), (200, user)),
                    None => assert_eq!((code, text.as_str()), (401, "Unauthorized\n")),
                }
            }
        }
        for nr in 0..2 * OUTCOMES_MAX {
            gate.remember(nr.to_le_bytes().to_vec(), false);
            assert!(gate.outcomes().len() <= OUTCOMES_MAX);
        }
        let right = gate.outcomes().values().filter(|matches| **matches).count();
        assert_eq!(right, 2, "a flood of wrong passwords pushes out no right one");
    }

    #[tokio::test]
    async fn other_rules_count_at_once() {
        let gate = Gate::new(GateRules::default()).expect("randomness");
        let router = router(&gate);
        assert_eq!(ask(&router, None).await, (200, "anybody".to_owned()));
        gate.replace(users(&[("ann", "old")]));
        assert_eq!(ask(&router, None).await.0, 401);
        assert_eq!(ask(&router, Some(&basic("ann", "old"))).await.0, 200);
        let mut rules = users(&[("ann", "new")]);
        let header = (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("deny"));
        rules.headers.push(header);
        gate.replace(rules);
        assert_eq!(ask(&router, Some(&basic("ann", "old"))).await.0, 401);
        let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("routers do not fail");
        assert_eq!(response.headers()["x-frame-options"], "deny");
        assert_eq!(response.headers()["www-authenticate"], "Basic");
    }

    #[test]
    fn what_is_no_hash_is_named_by_its_user() {
        let mut rules = users(&[("ann", "x")]);
        assert_eq!(rules.check(), Ok(()));
        rules.users.insert("bob".to_owned(), "plain".to_owned());
        let told = rules.check().expect_err("no hash").to_string();
        assert!(told.contains("\"bob\"") && told.contains("htpasswd"), "{told}");
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
    }
}
