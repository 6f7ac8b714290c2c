//! The workload in a pod: clients that write and read through a cluster's client Service without pause while a scenario
//! breaks things, and that are asked step by step how it went.

use crate::processors::Processors;
use crate::world::Namespace;
use anyhow::{Context, Result, ensure};
use kvorum_e2e::images::list::IMAGES;
use kvorum_e2e::report::{Report, Step};
use std::sync::Mutex;

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
    /// The processors when each step began.
    marks: Mutex<Vec<Processors>>,
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
            marks: Mutex::default(),
        })
    }

    /// Begins a step of this name.
    pub(crate) async fn mark(&self, name: &str) -> Result<()> {
        let asked = format!("mark?name={name}");
        self.namespace.ask(&self.pod, PORT, &asked).await?;
        self.marks.lock().expect("no holder panics").push(Processors::now());
        Ok(())
    }

    /// The figures of the step that goes on, or of the whole run when there is none.
    pub(crate) async fn step(&self) -> Result<Step> {
        let report: Report = serde_json::from_str(&self.namespace.ask(&self.pod, PORT, "report").await?)?;
        Ok(report.steps.last().cloned().unwrap_or(report.total))
    }

    /// Stops the clients, and prints how each step went. Fails when a write was lost, an answer contradicts the others, a
    /// key cannot be read, or a step had no acknowledged write for `gap_ms_max`, stretched by what the machine's owner took.
    pub(crate) async fn finish(self, gap_ms_max: f64) -> Result<Report> {
        let mut marks = self.marks.into_inner().expect("no holder panics");
        marks.push(Processors::now());
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
        let slower: Vec<f64> = marks.windows(2).map(|mark| mark[0].slower_until(&mark[1])).collect();
        ensure!(
            report.steps.len() == slower.len(),
            "the workload tells of {} steps, and {} were begun",
            report.steps.len(),
            slower.len()
        );
        let whole = marks[0].slower_until(&marks[marks.len() - 1]);
        for (step, slower) in report.steps.iter().zip(&slower).chain([(&report.total, &whole)]) {
            println!(
                "{:<16} {:>6.1} s  {:>7} writes  {:>7} reads  longest gap {:>6.0} ms  slowest {:>6.0} ms  {slower:.2} times \
                 slower by stolen time  errors {:?}",
                step.name, step.seconds, step.writes, step.reads, step.longest_gap_ms, step.slowest_ms, step.errors
            );
        }
        for (step, slower) in report.steps.iter().zip(&slower) {
            ensure!(step.writes > 0, "{}: no write at all", step.name);
            ensure!(
                step.longest_gap_ms < gap_ms_max * slower,
                "{}: {:.0} ms without an acknowledged write",
                step.name,
                step.longest_gap_ms
            );
        }
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
