//! Problem documents (RFC 9457) as responses: the errors of everything under `/v1`.

use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};
use kvorum_api::error::Refusal;
use kvorum_api::plain::Fault;
use kvorum_api::problem::{MEDIA_TYPE, Problem};

use super::Edge;
use super::body::BodyError;
use crate::service::AdminError;

/// A problem on its way out.
#[derive(Debug)]
pub struct ProblemResponse(pub Problem);

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, MEDIA_TYPE)], self.0.json_body()).into_response()
    }
}

impl From<Problem> for ProblemResponse {
    fn from(problem: Problem) -> ProblemResponse {
        ProblemResponse(problem)
    }
}

impl From<Refusal> for ProblemResponse {
    fn from(refusal: Refusal) -> ProblemResponse {
        ProblemResponse(Problem::from(refusal))
    }
}

impl From<AdminError> for ProblemResponse {
    fn from(error: AdminError) -> ProblemResponse {
        ProblemResponse(error.rejection.problem(error.detail))
    }
}

impl From<BodyError> for ProblemResponse {
    fn from(error: BodyError) -> ProblemResponse {
        let fault = match error {
            BodyError::TooLarge { size, max } => {
                return Fault::TooLarge
                    .problem(format!("{size} bytes or more; at most {max} are allowed"))
                    .into();
            }
            BodyError::Broken(_) => Fault::Malformed,
            BodyError::Refused(refusal) => return refusal.into(),
        };
        fault.problem(error.to_string()).into()
    }
}

/// A problem with this sentence: a parameter or header that does not parse.
pub fn malformed(detail: impl Into<String>) -> ProblemResponse {
    ProblemResponse(Fault::Malformed.problem(detail))
}

/// A path under `/v1` that answers other methods than `allowed` with a problem and the header that says so.
pub fn only(allowed: &'static str, methods: MethodRouter<Edge>) -> MethodRouter<Edge> {
    methods.fallback(move |method: Method| async move {
        let problem = Fault::MethodNotAllowed.problem(format!("{method} is not served here; {allowed} is"));
        ([(ALLOW, allowed)], ProblemResponse(problem)).into_response()
    })
}
