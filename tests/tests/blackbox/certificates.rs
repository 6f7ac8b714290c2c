//! Certificates are read again from disk: new connections show the new one, old ones live on, nothing restarts.

use std::sync::Arc;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::web::tls;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The certificate that the client port shows to a new connection.
async fn shown(cluster: &Cluster, index: usize) -> Result<Vec<u8>, String> {
    let pki = cluster.pki.as_ref().unwrap();
    let connector = TlsConnector::from(Arc::new(tls(Some(&pki.clients.cert), Some(&pki.application()))));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(("127.0.0.1", cluster.members[index].client))
        .await
        .map_err(|e| e.to_string())?;
    let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().ok_or("no certificate")?.to_vec())
}

async fn until_shown(cluster: &Cluster, index: usize, wanted: &[u8]) {
    until("the new certificate on a new connection", SETTLE, || async {
        if shown(cluster, index).await? == wanted {
            Ok(())
        } else {
            Err("the old one".into())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_certificate_is_shown_without_a_restart() {
    let cluster = Cluster::managed(1).await;
    let etcd = cluster.at(0);
    etcd.put("before", "1").await.unwrap();
    let process = cluster.members[0].process.as_ref().unwrap().id();
    let pki = cluster.pki.as_ref().unwrap();
    let old = shown(&cluster, 0).await.unwrap();

    cluster.members[0].write("tls", "server.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    let leaf = pki.server("n0");
    assert_ne!(leaf.der, old);
    // A damaged file, and a certificate without its key, are both passed over: the old one stays in use.
    cluster.members[0].write("tls", "server.crt", &leaf.cert);
    etcd.put("during", "1")
        .await
        .expect("connections live on while the files change");
    assert_eq!(shown(&cluster, 0).await.unwrap(), old);

    cluster.members[0].write("tls", "server.key", &leaf.key);
    until_shown(&cluster, 0, &leaf.der).await;
    etcd.put("after", "1").await.expect("an old connection lives on");
    let status = cluster.operator().status(&cluster, 0).await.unwrap();
    let certificates = status["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 4, "server, peer and both authorities: {status}");
    assert!(
        certificates
            .iter()
            .any(|c| c["kind"] == "Server" && c["fingerprint"].as_str().is_some_and(|f| f.len() == 64))
    );
    assert_eq!(cluster.members[0].process.as_ref().unwrap().id(), process);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_peer_certificates_are_used_by_a_member_that_comes_back() {
    let mut cluster = Cluster::managed(3).await;
    let operator = cluster.operator();
    let peer = |status: &serde_json::Value| {
        let all = status["certificates"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .find(|c| c["kind"] == "Peer")
            .map(|c| c["fingerprint"].clone())
    };
    for index in 0..3 {
        let old = peer(&operator.status(&cluster, index).await.unwrap());
        let leaf = cluster.pki.as_ref().unwrap().peer(&format!("n{index}"));
        cluster.members[index].write("tls", "peer.crt", &leaf.cert);
        cluster.members[index].write("tls", "peer.key", &leaf.key);
        until("the new peer certificate to be reported", SETTLE, || async {
            let now = peer(&operator.status(&cluster, index).await?);
            if now.is_some() && now != old {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await;
    }
    // Each member's connections are made anew, so both sides show what they now have.
    for index in 0..3 {
        cluster.kill(index);
        cluster.start(index);
        cluster.ready().await;
        cluster.at(index).put("key", &index.to_string()).await.unwrap();
    }
}
