//! The side-by-side table: Kvorum and etcd 3.7.3, three members each, on this machine, one after the other.
//!
//! Both write with real fdatasync, speak plain text, and are asked by the same client over etcd's JSON; the clients run
//! on the same machine and take their share of it, so the ratios mean more than the rates. Each measurement alternates
//! between the two and is repeated, and every repetition is shown. CPU is that of all members, per request.
//!
//! Not here yet: gRPC, watches, large data, and everything else that the design promises figures for.

#![allow(clippy::print_stdout, reason = "the table is the program's answer")]

mod load;
mod side;

use std::time::Duration;

use load::{Load, Measured};
use side::Side;

/// How long each measurement lasts, unless `KVORUM_BENCH_SECONDS` says otherwise.
const SECONDS: usize = 5;
/// How often each is repeated.
const ROUNDS: usize = 2;
/// Connections of the loads that are about throughput.
const CONNECTIONS: usize = 64;

fn loads() -> Vec<Load> {
    vec![
        Load {
            name: "put, 1 connection",
            connections: 1,
            read: false,
        },
        Load {
            name: "put, 64 connections",
            connections: CONNECTIONS,
            read: false,
        },
        Load {
            name: "linearizable get, 64 connections",
            connections: CONNECTIONS,
            read: true,
        },
    ]
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let time = Duration::from_secs(kvorum_tests::seed::count("KVORUM_BENCH_SECONDS", SECONDS) as u64);
    println!("three members each, etcd's JSON over HTTP, values of 256 bytes, {time:?} per measurement\n");
    println!(
        "{:34} {:>8} {:>10} {:>9} {:>9} {:>12}",
        "", "", "per second", "p50 ms", "p99 ms", "CPU us/req"
    );
    for load in loads() {
        let mut sums = [0.0, 0.0];
        for _ in 0..ROUNDS {
            for (index, make) in [Side::etcd as fn() -> side::Starting, Side::kvorum]
                .into_iter()
                .enumerate()
            {
                let side = make().await?;
                let measured = load.measure(&side, time).await?;
                print(load.name, side.name, &measured);
                sums[index] += measured.per_second;
            }
        }
        println!("{:34} {:>8} {:>9.2} x\n", load.name, "ratio", sums[1] / sums[0]);
    }
    Ok(())
}

fn print(load: &str, side: &str, measured: &Measured) {
    let Measured {
        per_second,
        p50,
        p99,
        cpu_micros,
    } = measured;
    let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{load:34} {side:>8} {per_second:>10.0} {:>9.2} {:>9.2} {cpu_micros:>12.0}",
        millis(p50),
        millis(p99)
    );
}
