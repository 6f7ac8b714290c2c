//! The caller of a request over HTTP: the certificate of its connection and its `authorization` header.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::Extensions;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::OtherSide;
use crate::service::Caller;

impl<State: Sync> FromRequestParts<State> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Caller, Infallible> {
        let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(Caller::new(common_name(&parts.extensions), authorization))
    }
}

/// The common name in the certificate of the connection that a request came on.
#[must_use]
pub fn common_name(extensions: &Extensions) -> Option<String> {
    extensions.get::<OtherSide>()?.name.as_ref()?.common_name.clone()
}
