//! Does the live object already say all that we want it to say?
//!
//! What it must keep true:
//! 1. Only our fields count: what others added (labels, annotations, defaulted fields) is no difference.
//! 2. An edit of a field of ours by anyone is a difference, also when it is nested in a list.
//! 3. Values that the API server writes differently but means the same (quantities, absent and empty) are none, or the
//!    operator would write for ever.
//!
//! Selectors are compared both ways. Lists whose elements carry a key are compared by key, as server-side apply merges them (`containers` by `name`,
//! `ports` by their numbers …); others in order and whole.
//!
//! Caveat: a field that we *stop* wanting is seen by the caller from `metadata.managedFields`, not here: a subset cannot
//! tell what was once ours.
//!
//! Worked example: wanted `{"a": {"b": "1"}}`, live `{"a": {"b": "1", "c": "2"}, "d": 0}`: no difference.

use serde_json::Value;

/// Fields by which Kubernetes tells the elements of a list apart, tried in this order. The first that all elements of
/// the wanted list carry is used.
const ELEMENT_KEYS: [&[&str]; 5] = [
    &["name"],
    &["uid"],
    &["containerPort", "protocol"],
    &["mountPath"],
    &["whenUnsatisfiable", "topologyKey"],
];

/// Objects that Kubernetes treats as one value: a key that somebody added to a selector changes what it selects.
const WHOLE: [&str; 5] = [
    "selector",
    "podSelector",
    "namespaceSelector",
    "labelSelector",
    "nodeSelector",
];

/// Where `live` first falls short of `wanted`, as a path such as `spec.template.spec.containers[node].image`; `None`
/// when all that is wanted is there.
#[must_use]
pub fn first(wanted: &Value, live: &Value) -> Option<String> {
    differ(wanted, live).map(|path| path.trim_start_matches('.').to_owned())
}

/// The lists in `wanted` of which `live` falls short, as a merge patch with nothing else in it; `None` when there is none.
/// Lists within lists come with the outermost.
#[must_use]
pub fn lists(wanted: &Value, live: &Value) -> Option<Value> {
    let fields = wanted.as_object()?.iter().filter_map(|(name, value)| {
        let found = live.get(name).unwrap_or(&Value::Null);
        let part = match value {
            Value::Array(_) => differ(value, found).map(|_| value.clone()),
            _ => lists(value, found),
        };
        Some((name.clone(), part?))
    });
    let fields: serde_json::Map<String, Value> = fields.collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn differ(wanted: &Value, live: &Value) -> Option<String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().find_map(|(name, value)| {
            let found = live.get(name).unwrap_or(&Value::Null);
            let lacks = differ(value, found);
            let path = lacks.or_else(|| WHOLE.contains(&name.as_str()).then(|| differ(found, value))?);
            path.map(|path| format!(".{name}{path}"))
        }),
        (Value::Array(wanted), Value::Array(live)) => differ_in_elements(wanted, live),
        _ if wanted == live || is_empty(wanted) && is_empty(live) || same_quantity(wanted, live) => None,
        _ => Some(String::new()),
    }
}

fn differ_in_elements(wanted: &[Value], live: &[Value]) -> Option<String> {
    if let Some(keys) = ELEMENT_KEYS
        .iter()
        .find(|keys| wanted.iter().all(|element| carries(element, keys)))
        && !wanted.is_empty()
    {
        // Elements that others added stay theirs, except where the whole list is ours, which lengths tell below.
        return wanted.iter().find_map(|element| {
            let found = live
                .iter()
                .find(|other| keys.iter().all(|key| same_key(element, other, key)));
            differ(element, found.unwrap_or(&Value::Null)).map(|path| format!("[{}]{path}", label(element, keys)))
        });
    }
    if wanted.len() != live.len() {
        return Some(String::new());
    }
    wanted
        .iter()
        .zip(live)
        .enumerate()
        .find_map(|(index, (wanted, live))| differ(wanted, live).map(|path| format!("[{index}]{path}")))
}

fn carries(element: &Value, keys: &[&str]) -> bool {
    // Only the first key must be present: `protocol` is defaulted to TCP by the API server.
    element.get(keys[0]).is_some()
}

fn same_key(wanted: &Value, live: &Value, key: &str) -> bool {
    wanted.get(key).is_none_or(|value| live.get(key) == Some(value))
}

fn label(element: &Value, keys: &[&str]) -> String {
    match element.get(keys[0]) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The API server drops empty maps, lists and nulls, and zero-length strings of optional fields.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(elements) => elements.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `1024Mi` and `1Gi`, `0.5` and `500m` are the same amount; the API server keeps one spelling of its own.
fn same_quantity(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::String(wanted), Value::String(live)) => {
            amount(wanted).is_some_and(|wanted| amount(live).is_some_and(|live| wanted == live))
        }
        _ => false,
    }
}

/// A quantity in thousandths. `None` when it is no quantity, or not a whole number of thousandths.
fn amount(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let thousandths: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_i128.pow(2),
        "M" => 1_000_i128.pow(3),
        "G" => 1_000_i128.pow(4),
        "T" => 1_000_i128.pow(5),
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(thousandths)?;
    (scaled % scale == 0).then_some(scaled / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use test_case::test_case;

    #[test_case(json!({"a": {"b": "1"}}), json!({"a": {"b": "1", "c": 2}, "d": 0}) => None; "others may add")]
    #[test_case(json!({"a": {"b": "1"}}), json!({"a": {"b": "2"}}) => Some("a.b".into()); "edited")]
    #[test_case(json!({"a": {"b": "1"}}), json!({}) => Some("a".into()); "removed")]
    #[test_case(json!({"a": {}, "b": [], "c": null}), json!({}) => None; "empty is absent")]
    #[test_case(json!({"selector": {"a": "1"}}), json!({"selector": {"a": "1", "b": "2"}}) => Some("selector.b".into()); "selectors are ours as a whole")]
    #[test_case(json!({"podSelector": {}}), json!({"podSelector": {}}) => None; "an empty selector")]
    #[test_case(json!({"a": false}), json!({}) => Some("a".into()); "false is a value")]
    #[test_case(json!({"a": "1024Mi"}), json!({"a": "1Gi"}) => None; "one amount in two spellings")]
    #[test_case(json!({"a": "0.5"}), json!({"a": "500m"}) => None; "half a core")]
    #[test_case(json!({"a": "1G"}), json!({"a": "1Gi"}) => Some("a".into()); "not the same amount")]
    #[test_case(json!(["a", "b"]), json!(["b", "a"]) => Some("[0]".into()); "plain lists have an order")]
    #[test_case(json!(["a"]), json!(["a", "b"]) => Some(String::new()); "plain lists are ours as a whole")]
    #[test_case(
        json!([{"name": "node", "image": "a"}]), json!([{"name": "mesh"}, {"name": "node", "image": "a", "x": 1}]) => None;
        "keyed elements may be joined by others"
    )]
    #[test_case(
        json!([{"name": "node", "image": "a"}]), json!([{"name": "mesh"}, {"name": "node", "image": "b"}])
        => Some("[node].image".into()); "a keyed element was edited"
    )]
    #[test_case(
        json!([{"containerPort": 2379}]), json!([{"containerPort": 2379, "protocol": "TCP"}]) => None;
        "a key that the server defaulted"
    )]
    fn differences(wanted: Value, live: Value) -> Option<String> {
        first(&wanted, &live)
    }

    #[test_case(
        json!({"a": "1", "s": {"p": [{"name": "x", "port": 1}], "q": [1]}}),
        json!({"a": "2", "s": {"p": [{"name": "x", "port": 2}], "q": [1]}})
        => Some(json!({"s": {"p": [{"name": "x", "port": 1}]}})); "only the list that differs"
    )]
    #[test_case(json!({"a": "1", "q": [1]}), json!({"a": "2", "q": [1]}) => None; "no list differs")]
    fn lists_that_differ(wanted: Value, live: Value) -> Option<Value> {
        lists(&wanted, &live)
    }
}
