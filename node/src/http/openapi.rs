//! `GET /v1/openapi.json`: the description of the plain JSON, for people and for their tools.
//!
//! The document is a file beside this one, and tests hold it to the routes and to what they answer.

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;

use super::Edge;
use super::problem::only;

/// Where it is served.
pub const OPENAPI_PATH: &str = "/v1/openapi.json";

/// The document, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The path. Whoever may reach the port may read it: it says nothing about this cluster.
pub fn routes() -> Router<Edge> {
    let document = || async { ([(CONTENT_TYPE, "application/json")], DOCUMENT) };
    Router::new().route(OPENAPI_PATH, only("GET, HEAD", get(document)))
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use serde_json::Value;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field.as_str().filter(|_| name == "$ref") {
                        Some(reference) => found.push(reference.to_owned()),
                        None => references(field, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_version_is_this_ones() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
