//! Who may ask for what: by a bearer token, over the local socket, or from loopback where no token is set.

use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A token that the admin API asks for. `Debug` does not show it.
#[derive(Clone)]
pub struct AdminToken(Arc<str>);

impl AdminToken {
    /// A token; surrounding white space, as a file's last line end, does not belong to it.
    pub fn new(token: &str) -> Self {
        Self(token.trim().into())
    }

    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken")
    }
}

/// The tokens of a gateway; without any, everybody who reaches the listener has all rights.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// The one that may do everything.
    pub full: Option<AdminToken>,
    /// The one that may look, and sees no address of a user.
    pub read: Option<AdminToken>,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Full,
    /// Looking, without addresses of users.
    Read,
}

impl Role {
    /// Whether it may change anything.
    pub(crate) fn may_change(self) -> bool {
        self == Self::Full
    }

    /// Whether it is shown whole addresses, not only domains.
    pub(crate) fn sees_addresses(self) -> bool {
        self == Self::Full
    }
}

/// What a call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Any role.
    Look,
    /// Showing addresses of users, or changing something.
    All,
}

/// Where a request came from: on the local socket its file's permissions are the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An address and port.
    Network(std::net::SocketAddr),
    /// The socket file, with the user id of the process at its other end.
    Socket(Option<u32>),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Socket(Some(user)) => write!(f, "local user {user}"),
            Self::Socket(None) => f.write_str("local socket"),
        }
    }
}

/// What a guarded call is guarded by.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) tokens: Tokens,
    pub(crate) right: Right,
}

/// Lets a request pass whose caller has the right, with its [`Role`] beside it.
pub(crate) async fn require(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match role(&guard.tokens, &request) {
        None => unauthorized(),
        Some(Role::Read) if guard.right == Right::All => {
            Problem::new("this token may only look; use the full one").with(StatusCode::FORBIDDEN)
        }
        Some(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
    }
}

fn unauthorized() -> Response {
    let mut response = Problem::new("a bearer token is required").with(StatusCode::UNAUTHORIZED);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn role(tokens: &Tokens, request: &Request) -> Option<Role> {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| {
        let value = value.to_str().unwrap_or_default();
        value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token)
    });
    let is = |token: &Option<AdminToken>| token.as_ref().zip(given).is_some_and(|(token, given)| token.is(given));
    if is(&tokens.full) {
        return Some(Role::Full);
    }
    if is(&tokens.read) {
        return Some(Role::Read);
    }
    let local = matches!(request.extensions().get(), Some(Origin::Socket(_)));
    // Who shows a token wants its rights, and hears when it is none of ours.
    // With a token for looking alone, nobody else is let in.
    let open = given.is_none() && (local || tokens.full.is_none() && tokens.read.is_none());
    open.then_some(Role::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(authorization: Option<&str>, origin: Option<Origin>) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        if let Some(origin) = origin {
            request.extensions_mut().insert(origin);
        }
        request
    }

    #[test]
    fn a_token_gives_its_role_and_the_socket_all_rights() {
        let (full, read) = (Some(AdminToken::new("full\n")), Some(AdminToken::new("read")));
        let socket = || Some(Origin::Socket(Some(0)));
        let none = Tokens::default();
        let looking = Tokens { full: None, read: Some(AdminToken::new("read")) };
        let both = Tokens { full, read };
        for (tokens, authorization, origin, expected) in [
            (&none, None, None, Some(Role::Full)),
            (&none, Some("Bearer any"), None, None),
            (&looking, None, None, None),
            (&looking, Some("Bearer read"), None, Some(Role::Read)),
            (&looking, None, socket(), Some(Role::Full)),
            (&both, None, None, None),
            (&both, None, socket(), Some(Role::Full)),
            (&both, Some("Bearer read"), socket(), Some(Role::Read)),
            (&both, Some("Bearer full"), None, Some(Role::Full)),
            (&both, Some("bearer read"), None, Some(Role::Read)),
            (&both, Some("Bearer wrong"), None, None),
            (&both, Some("Bearer wrong"), socket(), None),
            (&both, Some("Bearer "), None, None),
            (&both, Some("Basic full"), None, None),
        ] {
            assert_eq!(role(tokens, &asked(authorization, origin.clone())), expected, "{authorization:?} {origin:?}");
        }
    }
}
