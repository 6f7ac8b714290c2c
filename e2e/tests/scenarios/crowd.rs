//! The workload in a pod: clients that write and read through a cluster's client Service without pause while a scenario
//! breaks things, and that are asked step by step how it went.

use crate::world::Namespace;
use anyhow::{Context, Result, ensure};
use kvorum_e2e::images::list::IMAGES;
use kvorum_e2e::report::{Report, Step};

/// The program in the image.
pub(crate) const CLIENT: &str = "/usr/local/bin/kvorum-e2e-client";
/// The port of the workload's door.
const PORT: u16 = 8080;
/// How long the end of a run may take: reading everything back and checking it.
const FINISH_SECONDS_MAX: u64 = 300;

/// Clients at work on one cluster.
#[derive(Debug)]
pub(crate) struct Crowd {
    namespace: Namespace,
    pod: String,
}

impl Crowd {
    /// Starts clients on a cluster of this namespace, and waits until the first operations have succeeded.
    pub(crate) async fn start(namespace: &Namespace, cluster: &str) -> Result<Crowd> {
        let pod = format!("{cluster}-crowd");
        namespace.apply(&manifest(&pod, cluster, &namespace.name)).await?;
        namespace.await_ready_pod(&pod, 60).await?;
        Ok(Crowd {
            namespace: namespace.clone(),
            pod,
        })
    }

    /// Begins a step of this name.
    pub(crate) async fn mark(&self, name: &str) -> Result<()> {
        self.namespace
            .ask(&self.pod, PORT, &format!("mark?name={name}"))
            .await
            .map(drop)
    }

    /// The figures of the step that goes on, or of the whole run when there is none.
    pub(crate) async fn step(&self) -> Result<Step> {
        let report: Report = serde_json::from_str(&self.namespace.ask(&self.pod, PORT, "report").await?)?;
        Ok(report.steps.last().cloned().unwrap_or(report.total))
    }

    /// Stops the clients; fails when a write was lost, an answer contradicts the others, or a key cannot be read.
    pub(crate) async fn finish(self) -> Result<Report> {
        let text = self
            .namespace
            .ask_within(&self.pod, PORT, "finish", FINISH_SECONDS_MAX)
            .await?;
        let report: Report = serde_json::from_str(&text)?;
        let end = report.end.as_ref().context("the workload ended without a verdict")?;
        ensure!(
            end.missing.is_empty(),
            "acknowledged writes are gone: {:?}",
            end.missing
        );
        ensure!(
            end.linearizable,
            "not linearizable: {:?}, unread: {:?}",
            end.verdict,
            end.unread
        );
        Ok(report)
    }
}

/// The image with the program.
pub(crate) fn client_image() -> String {
    let ours = IMAGES.iter().find(|image| image.name == "kvorum-e2e-client");
    ours.expect("it is one of ours").reference()
}

fn manifest(pod: &str, cluster: &str, namespace: &str) -> String {
    let image = client_image();
    format!(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: {pod}
  labels: {{app: crowd}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: client
      image: {image}
      args: [run]
      env:
        - {{name: KVORUM_URL, value: "https://{cluster}-client.{namespace}.svc:2379"}}
        - {{name: KVORUM_CA_FILE, value: /etc/kvorum/ca/ca.crt}}
        - {{name: KVORUM_CERT_FILE, value: /etc/kvorum/tls/tls.crt}}
        - {{name: KVORUM_KEY_FILE, value: /etc/kvorum/tls/tls.key}}
      readinessProbe: {{httpGet: {{path: /ready, port: {PORT}}}, periodSeconds: 1}}
      securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
      volumeMounts:
        - {{name: ca, mountPath: /etc/kvorum/ca}}
        - {{name: tls, mountPath: /etc/kvorum/tls}}
  volumes:
    - {{name: ca, configMap: {{name: {cluster}-ca}}}}
    - {{name: tls, secret: {{secretName: {cluster}-client-tls}}}}
"#
    )
}
