//! The operator under test, installed from the chart as a user installs it. One serves all scenarios.

use crate::api::Api;
use anyhow::Result;
use tokio::sync::OnceCell;

/// The release's name and its namespace's.
pub(crate) const RELEASE: &str = "kvorum-operator";
/// Where the operator runs.
pub(crate) const NAMESPACE: &str = "kvorum-system";

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/kvorum-operator");

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Sees to it that the operator runs, as the chart of this checkout says.
pub(crate) async fn installed(api: &Api) -> Result<()> {
    INSTALLED.get_or_try_init(|| install(api)).await.copied()
}

async fn install(api: &Api) -> Result<()> {
    let mut arguments = vec![
        "upgrade",
        "--install",
        RELEASE,
        CHART,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
    ];
    arguments.extend(["--set", "logFormat=text", "--wait", "--timeout", "120s"]);
    let registry = std::env::var("REGISTRY").unwrap_or_default();
    let operator = format!("image.repository={registry}/kvorum-operator");
    // As JSON, because to helm a bare brace begins a list.
    let node = format!("nodeImage=\"{registry}/kvorum:{{version}}\"");
    if !registry.is_empty() {
        arguments.extend(["--set", &operator, "--set-json", &node]);
    }
    api.helm(&arguments).await.map(drop)
}
