//! Real handshakes over real sockets: who gets in, who does not, and what a change of files does.

use std::fs;
use std::net::SocketAddr;

use expect_test::expect;
use test_case::test_case;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use kvorum_api::Id;

use super::testing::{Authority, CLUSTER, Leaf, cluster};
use super::*;
use crate::telemetry::in_full;

/// What each side of one connection saw: the other side's name, or why there is none.
type Seen = Result<String, String>;

fn seen(stream: &PeerStream) -> String {
    stream
        .peer()
        .map_or_else(|| "plain".to_owned(), |peer| peer.name.clone())
}

/// `dialler` connects to `acceptor`, and each sends the other a byte.
async fn meet(dialler: PeerTls, acceptor: PeerTls) -> (Seen, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let transport = PeerTransport::Tls(Arc::new(acceptor));
        exchange(transport.accept(tcp).await).await
    });
    let transport = PeerTransport::Tls(Arc::new(dialler));
    let dialled = exchange(transport.connect("localhost", address.port()).await).await;
    (dialled, accepting.await.unwrap())
}

async fn exchange(stream: std::io::Result<PeerStream>) -> Seen {
    let mut stream = stream.map_err(|error| error.to_string())?;
    stream.write_all(b"k").await.map_err(|error| error.to_string())?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
    Ok(seen(&stream))
}

fn peer(authority: &Authority, leaf: Leaf) -> PeerTls {
    let dir = tempfile::tempdir().unwrap();
    PeerTls::load(authority.write(dir.path(), "peer", leaf)).unwrap()
}

#[tokio::test]
async fn members_of_one_cluster_meet() {
    let ca = Authority::new("peers");
    let met = meet(
        peer(&ca, Leaf::named(CLUSTER, "a")),
        peer(&ca, Leaf::named(CLUSTER, "b")),
    )
    .await;
    assert_eq!(met, (Ok("b".into()), Ok("a".into())));
}

#[tokio::test]
async fn another_cluster_is_turned_away_by_both_sides() {
    let ca = Authority::new("peers");
    let (dialled, accepted) = meet(peer(&ca, Leaf::named(0xbad, "a")), peer(&ca, Leaf::named(CLUSTER, "b"))).await;
    expect!["the other side is kvorum://00000000000000c1/b, but this is cluster 0000000000000bad"]
        .assert_eq(&dialled.unwrap_err());
    expect!["the other side is kvorum://0000000000000bad/a, but this is cluster 00000000000000c1"]
        .assert_eq(&accepted.unwrap_err());
}

#[tokio::test]
async fn another_authority_is_turned_away() {
    let (ca, other) = (Authority::new("peers"), Authority::new("peers"));
    let (dialled, _) = meet(
        peer(&ca, Leaf::named(CLUSTER, "a")),
        peer(&other, Leaf::named(CLUSTER, "b")),
    )
    .await;
    expect!["invalid peer certificate: BadSignature"].assert_eq(&dialled.unwrap_err());
}

#[tokio::test]
async fn an_expired_member_is_turned_away() {
    let ca = Authority::new("peers");
    let (_, accepted) = meet(
        peer(&ca, Leaf::named(CLUSTER, "a").expired()),
        peer(&ca, Leaf::named(CLUSTER, "b")),
    )
    .await;
    let text = accepted.unwrap_err();
    assert!(
        text.starts_with("invalid peer certificate: certificate expired"),
        "{text}"
    );
}

#[test_case(Leaf::new("a"), "carries no URI name kvorum://<cluster id>/<member name>"; "no name")]
#[test_case(Leaf::named(CLUSTER, "operator"), "carries no URI name kvorum://<cluster id>/<member name>"; "the operator is no member")]
fn a_peer_certificate_must_name_a_member(leaf: Leaf, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new("peers").write(dir.path(), "peer", leaf);
    let error = in_full(&PeerTls::load(files).err().unwrap());
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn new_files_are_taken_up_and_bad_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("peers");
    let files = ca.write(dir.path(), "peer", Leaf::named(CLUSTER, "a"));
    let tls = PeerTls::load(files.clone()).unwrap();
    let first = tls.certificates();
    assert!(!tls.reload().unwrap(), "nothing changed");

    let old_key = fs::read(&files.key).unwrap();
    ca.write(dir.path(), "peer", Leaf::named(CLUSTER, "a"));
    let new_key = fs::read(&files.key).unwrap();
    fs::write(&files.key, &old_key).unwrap();
    let error = in_full(&tls.reload().unwrap_err());
    assert!(
        error.contains("peer.crt cannot be used: keys may not be consistent"),
        "{error}"
    );
    assert_eq!(tls.certificates(), first, "half a change changes nothing");

    fs::write(&files.key, &new_key).unwrap();
    assert!(tls.reload().unwrap());
    let second = tls.certificates();
    assert_ne!(second[0].fingerprint, first[0].fingerprint);
    assert_eq!(second[1], first[1], "the authority is the same");

    tls.pin();
    ca.write(dir.path(), "peer", Leaf::named(0xbad, "a"));
    let error = in_full(&tls.reload().unwrap_err());
    expect!["the new certificate is for kvorum://0000000000000bad/a, but this is kvorum://00000000000000c1/a"]
        .assert_eq(error.split_once(": ").unwrap().1);
    fs::remove_file(&files.cert).unwrap();
    assert!(tls.reload().unwrap_err().to_string().starts_with("cannot read "));
    assert_eq!(tls.certificates(), second);
}

#[test]
fn a_process_that_joined_nothing_may_get_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("peers");
    let tls = PeerTls::load(ca.write(dir.path(), "peer", Leaf::named(0xbad, "a"))).unwrap();
    ca.write(dir.path(), "peer", Leaf::named(CLUSTER, "a"));
    assert!(tls.reload().unwrap());
    assert_eq!(
        tls.own_name(),
        PeerName {
            cluster_id: cluster(),
            name: "a".into()
        }
    );
}

#[tokio::test]
async fn a_new_authority_counts_from_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = old.write(dir.path(), "a", Leaf::named(CLUSTER, "a"));
    let tls = PeerTls::load(files.clone()).unwrap();
    // Phase one of a rotation: both authorities are trusted, the leaf is still of the old one.
    fs::write(files.ca.as_ref().unwrap(), format!("{}{}", old.pem(), new.pem())).unwrap();
    assert!(tls.reload().unwrap());
    assert_eq!(tls.certificates().len(), 3);
    // The other side has gone on to phase two: a leaf of the new authority, both trusted.
    let other = new.write(dir.path(), "b", Leaf::named(CLUSTER, "b"));
    fs::write(other.ca.as_ref().unwrap(), format!("{}{}", old.pem(), new.pem())).unwrap();
    let met = meet(tls, PeerTls::load(other).unwrap()).await;
    assert_eq!(met, (Ok("b".into()), Ok("a".into())));
}

#[test]
fn reports_name_kind_fingerprint_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new("clients").write(dir.path(), "server", Leaf::new("server"));
    let reported = ClientTls::load(files, false).unwrap().certificates();
    let kinds: Vec<_> = reported
        .iter()
        .map(|certificate| format!("{:?}", certificate.kind))
        .collect();
    assert_eq!(kinds, ["Server", "ClientCa"]);
    assert!(reported.iter().all(|certificate| certificate.fingerprint.len() == 64));
    assert!(reported.iter().all(|certificate| certificate.not_after.ends_with('Z')));
}

#[test_case("cert", "", "server.crt: holds no certificate"; "empty certificate")]
#[test_case("key", "nothing", "server.key: no usable private key: "; "no key")]
#[test_case("ca", "nothing", "server-ca.crt: holds no certificate"; "no authority")]
fn unusable_files_are_named(which: &str, content: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new("clients").write(dir.path(), "server", Leaf::new("server"));
    let path = match which {
        "cert" => &files.cert,
        "key" => &files.key,
        _ => files.ca.as_ref().unwrap(),
    };
    fs::write(path, content).unwrap();
    let error = in_full(&ClientTls::load(files, false).err().unwrap());
    assert!(error.contains(expected), "{error}");
}

/// The caller's names as the client port sees them, or why the connection failed.
async fn call(server: ClientTls, client: Option<(String, String)>, ca: &str) -> Result<Option<CallerName>, String> {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    let dialling = tokio::spawn(async move {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector
            .connect(ServerName::try_from("localhost").unwrap(), tcp)
            .await
            .ok()?;
        stream.read_u8().await.ok()
    });
    let (tcp, _) = listener.accept().await.unwrap();
    let accepted = server.acceptor().accept(tcp).await.map_err(|error| error.to_string());
    let caller = match accepted {
        Ok(mut stream) => {
            stream.write_u8(1).await.unwrap();
            Ok(stream
                .get_ref()
                .1
                .peer_certificates()
                .map(|chain| CallerName::of(&chain[0])))
        }
        Err(error) => Err(error),
    };
    dialling.await.unwrap();
    caller
}

#[tokio::test]
async fn clients_are_asked_for_a_certificate_and_known_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("clients");
    let files = ca.write(dir.path(), "server", Leaf::new("server"));
    let optional = || ClientTls::load(files.clone(), false).unwrap();
    let demanded = || ClientTls::load(files.clone(), true).unwrap();

    assert_eq!(call(optional(), None, &ca.pem()).await, Ok(None));
    let error = call(demanded(), None, &ca.pem()).await.unwrap_err();
    assert_eq!(error, "peer sent no certificates");
    let stranger = Authority::new("others").sign(Leaf::named(CLUSTER, "operator"));
    let error = call(optional(), Some(stranger), &ca.pem()).await.unwrap_err();
    assert!(error.starts_with("invalid peer certificate: "), "{error}");

    let application = call(demanded(), Some(ca.sign(Leaf::new("shop"))), &ca.pem())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(application.common_name.as_deref(), Some("shop"));
    assert!(!application.is_operator_of(Some(cluster())));
    assert!(!application.is_operator_of(None));
    let operator = ca.sign(Leaf::named(CLUSTER, "operator"));
    let operator = call(demanded(), Some(operator), &ca.pem()).await.unwrap().unwrap();
    assert!(operator.is_operator_of(Some(cluster())));
    assert!(operator.is_operator_of(None));
    assert!(!operator.is_operator_of(Id::new(0xbad)));
}
