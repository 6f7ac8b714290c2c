//! The harness itself: what every other scenario takes for granted. A pod gets a volume and an address, is found by name,
//! can be looked into, and comes back with its data.

use crate::crowd::{CLIENT, client_image};
use crate::world::with_temp_ns;
use anyhow::{Result, ensure};

fn stateful_set() -> String {
    let image = client_image();
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  clusterIP: None
  selector: {{app: web}}
  ports: [{{port: 8080}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: web}}
spec:
  serviceName: web
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: client
          image: {image}
          args: [wait]
          securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
          volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
"#
    )
}

#[tokio::test]
async fn a_pod_lives_and_returns() {
    with_temp_ns("harness", |ns| async move {
        ns.apply(&stateful_set()).await?;
        let pod = ns.await_ready_pod("web-0", 60).await?;
        let address = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();

        let name = format!("web-0.web.{}.svc", ns.name);
        ns.await_condition("the pod's name", 20, || async {
            Ok(ns.exec("web-0", &[CLIENT, "resolve", &name]).await?.trim() == address)
        })
        .await?;
        ensure!(
            ns.exec("web-0", &[CLIENT, "resolve", "nobody.example"]).await.is_err(),
            "a name that must not exist"
        );
        ensure!(
            ns.kubectl(&["logs", "web-0"]).await?.trim() == "waiting",
            "the log is not what was printed"
        );

        let claim = ns
            .get("persistentvolumeclaims", "data-web-0")
            .await?
            .expect("the pod runs on its claim");
        ns.kubectl(&["delete", "pod", "web-0", "--wait=true"]).await?;
        let again = ns.await_ready_pod("web-0", 60).await?;
        ensure!(again["metadata"]["uid"] != pod["metadata"]["uid"], "the same pod");
        let kept = ns
            .get("persistentvolumeclaims", "data-web-0")
            .await?
            .expect("a claim outlives its pod");
        ensure!(
            kept["spec"]["volumeName"] == claim["spec"]["volumeName"],
            "another volume"
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_claim_grows() {
    with_temp_ns("growth", |ns| async move {
        ns.apply(&stateful_set()).await?;
        ns.await_ready_pod("web-0", 60).await?;
        let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Mi"}}}}"#;
        ns.kubectl(&["patch", "pvc", "data-web-0", "-p", patch]).await?;
        ns.await_condition("the claim to have grown", 20, || async {
            let claim = ns.get("persistentvolumeclaims", "data-web-0").await?;
            Ok(claim.is_some_and(|claim| claim["status"]["capacity"]["storage"] == "2Mi"))
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told() -> Result<()> {
    let failing = tokio::spawn(with_temp_ns("failure", |_| async { anyhow::bail!("on purpose") }));
    let told = failing
        .await
        .expect_err("a scenario that fails must fail its test")
        .into_panic();
    let told = told.downcast_ref::<String>().cloned().unwrap_or_default();
    ensure!(told == "failure: on purpose", "{told}");
    Ok(())
}
