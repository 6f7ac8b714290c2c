//! A first cluster: applied as the sample says, ready within seconds, and serving clients without a mistake.

use crate::crowd::{CLIENT, Crowd};
use crate::operator;
use crate::world::{is_ready, machine_is_quiet, with_temp_ns};
use anyhow::{Context, ensure};
use std::time::Instant;

/// From `kubectl apply` to `Ready=True` with three members and the images present.
const READY_SECONDS_MAX: u64 = 20;
/// How many writes are looked at.
const WRITES: u64 = 2000;
/// A cluster that nobody disturbs acknowledges writes at least this often.
const GAP_MS_MAX: f64 = 1000.0;

#[tokio::test]
async fn a_cluster_serves() {
    with_temp_ns("first", |ns| async move {
        operator::installed(&ns.api).await?;
        let quiet = machine_is_quiet();
        let begun = Instant::now();
        ns.apply(crate::world::SAMPLE).await?;
        let ready = || async { Ok(ns.get("kvclusters", "demo").await?.filter(is_ready)) };
        ns.await_some("the cluster to be ready", 3 * READY_SECONDS_MAX, ready)
            .await?;
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "ready after {seconds:.1} s{}",
            if quiet {
                ""
            } else {
                " (the machine is busy with other things)"
            }
        );

        let crowd = Crowd::start(&ns, "demo").await?;
        crowd.mark("undisturbed").await?;
        let enough = || async { Ok(crowd.step().await?.writes >= WRITES) };
        ns.await_condition("the clients to have written enough", 60, enough)
            .await?;
        let shown = ns
            .exec("demo-crowd", &[CLIENT, "demo", "--key=greeting", "--value=hello"])
            .await?;
        println!("{shown}");
        ensure!(
            shown.trim_end().ends_with("greeting = hello"),
            "the demonstration shows something else"
        );
        let report = crowd.finish(GAP_MS_MAX).await?;
        report.step("undisturbed").context("the step is missing")?;
        ensure!(
            !quiet || seconds < READY_SECONDS_MAX as f64,
            "ready only after {seconds:.1} s"
        );
        Ok(())
    })
    .await;
}
