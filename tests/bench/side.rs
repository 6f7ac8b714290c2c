//! One of the two systems that are compared, running.

use std::pin::Pin;

use anyhow::Context;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::reference::Reference;

/// A system that is being started.
pub(crate) type Starting = Pin<Box<dyn Future<Output = anyhow::Result<Side>>>>;

/// Three members of one system.
pub(crate) struct Side {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where clients reach its members.
    pub(crate) urls: Vec<String>,
    system: System,
}

enum System {
    Etcd(Box<Reference>),
    Kvorum(Box<Cluster>),
}

/// The kernel's clock ticks per second, as /proc tells CPU time; 100 on every Linux of today.
const TICKS: f64 = 100.0;

impl Side {
    /// A fresh etcd.
    pub(crate) fn etcd() -> Starting {
        Box::pin(async {
            let reference = Reference::start_with(3, &[])
                .await
                .context("there is no etcd to compare with")?;
            Ok(Side {
                name: "etcd",
                urls: reference.urls.clone(),
                system: System::Etcd(Box::new(reference)),
            })
        })
    }

    /// A fresh Kvorum.
    pub(crate) fn kvorum() -> Starting {
        Box::pin(async {
            let cluster = Cluster::plain(3).await;
            let urls = (0..3).map(|index| cluster.url(index)).collect();
            Ok(Side {
                name: "kvorum",
                urls,
                system: System::Kvorum(Box::new(cluster)),
            })
        })
    }

    /// CPU time that all members have used since they started, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let ids: Vec<u32> = match &self.system {
            System::Etcd(reference) => reference.processes.iter().map(|process| process.id()).collect(),
            System::Kvorum(cluster) => cluster
                .members
                .iter()
                .filter_map(|member| member.process.as_ref())
                .map(|process| process.id())
                .collect(),
        };
        ids.into_iter().map(cpu_seconds_of).sum()
    }
}

/// User and system time out of /proc/<pid>/stat: fields 14 and 15, counted after the name, which may hold spaces.
fn cpu_seconds_of(id: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let (_, fields) = text.rsplit_once(')').with_context(|| path.clone())?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
            .with_context(|| path.clone())
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}
